"""Intervals that hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def shares_by_class(
    hit: Bool[np.ndarray, " n"], y: Int[np.ndarray, " n"], classes: int, *, unit: str = "share", level: float = 0.95
) -> tuple[Estimate, ...]:
    """Share of hits in each class; all intervals hold together with probability ≥ `level`.

    Clopper–Pearson at 1 − α/K each (Bonferroni), so the worst one may be picked and quoted.
    Unit: one row. A class without rows is undetermined.
    """
    size = np.bincount(y, minlength=classes)
    hits = np.bincount(y, weights=hit, minlength=classes)
    each = 1 - (1 - level) / classes
    return tuple(clopper_pearson(int(h), int(n), unit=unit, level=each) for h, n in zip(hits, size, strict=True))
