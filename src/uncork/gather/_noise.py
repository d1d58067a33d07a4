"""Rows that mean nothing, of the form of a split's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.gather._matrix import width
from uncork.models.base import is_frame
from uncork.schema.errors import Unavailable

_SOURCE = 2000  # rows that values are taken from
_VALUES = 2**24  # held at once


def noises(split: Split, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """`n` rows of each kind, by its name: "uniform" over the box of each column's values, and "shuffled", each column's
    values in a random order of its own.

    Of columns that hold no numbers both draw the values that are there. Fewer rows where they are very large. Raises
    Unavailable for text.
    """
    if split.kind == "text":
        raise Unavailable("rows are text, of which there is no noise")
    most = max(32, _VALUES // width(split))
    rows = np.sort(rng.permutation(len(split))[: min(_SOURCE, most)])
    values, n = split.take(rows), min(n, most)
    draws = {"uniform": _uniform, "shuffled": _shuffled}
    if isinstance(values, Mapping):
        return {
            kind: {name: _of_array(draw, part, n, rng) for name, part in values.items()} for kind, draw in draws.items()
        }
    if not is_frame(values):
        return {kind: _of_array(draw, values, n, rng) for kind, draw in draws.items()}
    made = {}
    for kind, draw in draws.items():
        columns = {name: draw(values[name].to_numpy()[:, None], n, rng)[:, 0] for name in values.columns}
        frame = type(values)(columns)
        made[kind] = frame.astype(values.dtypes.to_dict()) if hasattr(values, "astype") else frame.cast(values.schema)
    return made


def _of_array(draw: Callable[..., np.ndarray], values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return draw(values.reshape(len(values), -1), n, rng).reshape(n, *values.shape[1:])


def _uniform(values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        low, high = (
            np.where(finite, values, end).min(axis=0) if end > 0 else np.where(finite, values, end).max(axis=0)
            for end in (np.inf, -np.inf)
        )
        low, high = (np.where(finite.any(axis=0), ends, 0.0) for ends in (low, high))
        return (low + (high - low) * rng.random((n, values.shape[1]))).astype(values.dtype)
    if values.dtype.kind in "iu":
        shape = (n, values.shape[1])
        return rng.integers(values.min(axis=0), values.max(axis=0), shape, dtype=values.dtype, endpoint=True)
    return _shuffled(values, n, rng)


def _shuffled(values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.take_along_axis(values, rng.integers(len(values), size=(n, values.shape[1])), axis=0)
