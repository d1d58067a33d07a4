"""Rows of a split as a matrix of numbers, for what is fitted beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from uncork.data.encode import TableEncoder
from uncork.data.split import Split
from uncork.models.base import all_numbers, frame_matrix, is_frame
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_VALUES = 2**23  # at once: 32 MB of 32-bit floats
_FITTED: WeakKeyDictionary[Split, dict[str, TableEncoder]] = WeakKeyDictionary()


def sample(split: Split, most: int, seed: int, *key: str) -> Int[np.ndarray, " k"]:
    """Positions of at most `most` rows, a seeded sample in the order of the split."""
    if len(split) <= most:
        return np.arange(len(split))
    return np.sort(generator(seed, *key).permutation(len(split))[:most])


def width(split: Split, encoder: TableEncoder | None = None) -> int:
    """Numbers in a row, as `encoder` makes them where there is one."""
    if encoder is not None:
        return len(encoder.names)
    row = split.take(np.arange(1))
    return sum(int(np.size(part)) for part in row.values()) if isinstance(row, Mapping) else int(np.size(row))


def encoder_of(train: Split, who: str, kind: str = "one-hot") -> TableEncoder | None:
    """What turns the rows of a table with dates or categories into numbers, fitted on train; None where rows are
    numbers as they are, or no table. Raises Unavailable where a column can't be encoded; `who` needs numbers."""
    if train.kind != "frame" or all_numbers(train.take(np.arange(1))):
        return None
    fitted = _FITTED.setdefault(train, {})
    if kind not in fitted:
        try:
            fitted[kind] = TableEncoder.fit(train, kind)
        except BadInput as e:
            raise Unavailable(f"{who} need numbers: train.{e}") from None
    return fitted[kind]


def matrix(
    split: Split,
    name: str,
    rows: np.ndarray,
    who: str,
    columns: np.ndarray | None = None,
    encoder: TableEncoder | None = None,
) -> Float[np.ndarray, "k d"]:
    """These rows flattened to 32-bit floats, of all columns or some; read in batches of 32 MB.

    `encoder`: of train, for tables with categories. Raises Unavailable where rows are text or hold what is no number;
    `who` needs numbers, and `name` is the split's.
    """
    parts = []
    for batch in np.array_split(rows, -(-len(rows) // max(16, _VALUES // max(1, width(split, encoder))))):
        values = split.take(batch)
        if isinstance(values, list):
            raise Unavailable(f"rows are text: {who} need numbers")
        try:
            flat = _flat(values) if encoder is None else encoder(values)
        except BadInput as e:
            raise Unavailable(f"{who} need numbers: {name}.{e}") from None
        parts.append((flat if columns is None else flat[:, columns]).astype(np.float32))
    return np.concatenate(parts)


def _flat(values: Any) -> np.ndarray:
    if isinstance(values, Mapping):
        return np.concatenate([np.reshape(part, (len(part), -1)) for part in values.values()], axis=1)
    return (frame_matrix(values) if is_frame(values) else values).reshape(len(values), -1)
