"""Rows of a split as a matrix of numbers, for what is fitted beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.data.split import Split
from uncork.models.base import frame_matrix
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_VALUES = 2**23  # at once: 32 MB of 32-bit floats


def sample(split: Split, most: int, seed: int, *key: str) -> Int[np.ndarray, " k"]:
    """Positions of at most `most` rows, a seeded sample in the order of the split."""
    if len(split) <= most:
        return np.arange(len(split))
    return np.sort(generator(seed, *key).permutation(len(split))[:most])


def width(split: Split) -> int:
    """Numbers in a row."""
    return int(np.size(split.take(np.arange(1))))


def matrix(
    split: Split, name: str, rows: np.ndarray, who: str, columns: np.ndarray | None = None
) -> Float[np.ndarray, "k d"]:
    """These rows flattened to 32-bit floats, of all columns or some; read in batches of 32 MB.

    Raises Unavailable where rows are text or hold what is no number; `who` needs numbers, and `name` is the split's.
    """
    parts = []
    for batch in np.array_split(rows, -(-len(rows) // max(16, _VALUES // width(split)))):
        values = split.take(batch)
        if isinstance(values, list):
            raise Unavailable(f"rows are text: {who} need numbers")
        try:
            values = values if isinstance(values, np.ndarray) else frame_matrix(values)
        except BadInput as e:
            raise Unavailable(f"{who} need numbers: {name}.{e}") from None
        flat = values.reshape(len(batch), -1)
        parts.append((flat if columns is None else flat[:, columns]).astype(np.float32))
    return np.concatenate(parts)
