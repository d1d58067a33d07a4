"""Which rows stand in two splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, UInt8

#: Copies per 1,000 rows beyond which figures can't be trusted: δ itself could be owed to them.
TOLERATED = 5.0


def copies(rows: UInt8[np.ndarray, "n 16"], train: UInt8[np.ndarray, "m 16"]) -> Bool[np.ndarray, " n"]:
    """Which rows' hashes also stand in train."""
    if not len(rows):
        return np.zeros(0, bool)
    return np.isin(np.ascontiguousarray(rows).view("S16").ravel(), np.ascontiguousarray(train).view("S16").ravel())
