"""Near copies of rows: changed so little that their label stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from uncork.data.split import Split

if TYPE_CHECKING:
    from jaxtyping import Bool

#: Standard deviation of the noise, of that of the column; of all values where rows are images or series.
NOISE = 0.05
COPIES = 4
_SPREAD_ROWS = 1000
_FEW = 3  # values of a column that are codes, not measurements


class Near(NamedTuple):
    """copies: `COPIES` batches, each of the same rows in their order; changed (n, COPIES): where a copy differs."""

    copies: list[Any]
    changed: Bool[np.ndarray, "n c"]


def near_copies(split: Split, rows: np.ndarray, rng: np.random.Generator) -> Near:
    """Copies of these rows: numbers with noise, images and series also moved by one pixel or step, texts without one
    word. Left as they are: columns of fewer than 3 values, and whole numbers that are no bytes, which may be codes of
    words or categories.
    """
    return _near(split.take(rows), split.take(np.arange(min(len(split), _SPREAD_ROWS))), rng)


def _near(batch: Any, some: Any, rng: np.random.Generator) -> Near:
    """`some`: rows that tell how far values spread."""
    if isinstance(batch, Mapping):
        parts = {name: _near(part, some[name], rng) for name, part in batch.items()}
        each = [{name: part.copies[i] for name, part in parts.items()} for i in range(COPIES)]
        return Near(each, np.any([part.changed for part in parts.values()], axis=0))
    if isinstance(batch, list):
        copies: list[Any] = [[_without_a_word(text, rng) for text in batch] for _ in range(COPIES)]
        changed = [[a != b for a, b in zip(copy, batch, strict=True)] for copy in copies]
    elif isinstance(batch, np.ndarray):
        spread = _spread(some)
        axes = _moving(batch.shape[1:])
        copies = [
            _moved(batch, axes, number) if axes and number % 2 else _noisy(batch, spread, rng)
            for number in range(COPIES)
        ]
        changed = [_differs(copy, batch).tolist() for copy in copies]
    else:
        copies = [_noisy_frame(batch, some, rng) for _ in range(COPIES)]
        changed = [[a != b for a, b in zip(_cells(copy), _cells(batch), strict=True)] for copy in copies]
    return Near(copies, np.array(changed, bool).T)


def _spread(some: np.ndarray) -> np.ndarray:
    """s.d. of each column, 0 of codes; of rows with more than one axis that of all values."""
    codes = some.ndim == 2 and some.dtype.kind in "iu" and some.dtype != np.uint8
    if some.dtype.kind not in "iuf" or codes:
        return np.zeros(some.shape[1:])
    values = some.astype(np.float64)
    if values.ndim > 2:
        return np.asarray(np.nanstd(values))
    columns = values.reshape(len(values), -1)
    measured = np.array([len(np.unique(column[np.isfinite(column)])) >= _FEW for column in columns.T])
    return np.where(measured, np.nanstd(np.where(np.isfinite(columns), columns, np.nan), axis=0), 0.0).reshape(
        values.shape[1:]
    )


def _noisy(batch: np.ndarray, spread: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if batch.dtype.kind not in "iuf":
        return batch
    values = batch + NOISE * spread * rng.normal(size=batch.shape)
    if batch.dtype.kind in "iu":
        limits = np.iinfo(batch.dtype)
        values = np.clip(np.rint(values), max(limits.min, -(2.0**52)), min(limits.max, 2.0**52))
    noisy: np.ndarray = values.astype(batch.dtype)
    return noisy


def _moving(shape: tuple[int, ...]) -> list[int]:
    """Axes of the batch along which a row can be moved: not that of colours."""
    if len(shape) == 3:
        colours = 2 if shape[2] <= min(shape[:2]) else 0
        return [axis + 1 for axis in range(3) if axis != colours]
    return [1] if len(shape) == 2 else []


def _moved(batch: np.ndarray, axes: list[int], number: int) -> np.ndarray:
    """By one, there or back, along one of the axes; the edge is repeated."""
    axis, by = axes[(number // 2) % len(axes)], 1 if number % 4 == 1 else -1
    size = batch.shape[axis]
    return np.take(batch, np.clip(np.arange(size) + by, 0, size - 1), axis=axis)


def _differs(copy: np.ndarray, batch: np.ndarray) -> np.ndarray:
    same = (copy == batch) | ((copy != copy) & (batch != batch))  # NaN is NaN
    differs: np.ndarray = ~same.reshape(len(batch), -1).all(axis=1)
    return differs


def _without_a_word(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    if len(words) < 2:
        return text
    gone = int(rng.integers(len(words)))
    return " ".join(word for number, word in enumerate(words) if number != gone)


def _noisy_frame(batch: Any, some: Any, rng: np.random.Generator) -> Any:
    """Columns of floats with noise. A pandas or polars DataFrame."""
    noisy = {}
    for name in batch.columns:
        values = batch[name].to_numpy()
        if values.dtype.kind == "f":
            spread = _spread(some[name].to_numpy()[:, None])[0]
            noisy[name] = _noisy(values, spread, rng)
    if hasattr(batch, "assign"):
        return batch.assign(**noisy)
    return batch.with_columns([type(batch[name])(name, values) for name, values in noisy.items()])


def _cells(frame: Any) -> list[str]:
    rows = frame.itertuples(index=False, name=None) if hasattr(frame, "itertuples") else frame.iter_rows()
    return [repr(row) for row in rows]
