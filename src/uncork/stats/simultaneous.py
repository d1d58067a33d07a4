"""Intervals that hold together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson
from uncork.stats.multiplicity import t_quantile

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


def together(estimates: Sequence[Estimate], *, level: float = 0.95) -> tuple[Estimate, ...]:
    """Each estimate widened so that all intervals hold together with probability ≥ `level`, whatever they share.

    Bonferroni-t: value ± t₁₋α/₂ₖ · se with each one's own degrees of freedom (Miller, Simultaneous Statistical
    Inference, 1981, §2). An interval that is not value ± t · se, as one of a share, has each of its sides stretched in
    the ratio of t quantiles, and keeps its form; ends may then lie beyond the figure's own bounds. Each is
    returned at level 1 − α/K: one that has it already is kept, another without a standard error is undetermined.
    Unit: that of each estimate.
    """
    each = 1 - (1 - level) / max(len(estimates), 1)

    def widened(one: Estimate) -> Estimate:
        if one.level >= each - 1e-12:
            return one
        method = f"{one.method}, {len(estimates)} together"
        if one.value is None or not one.se:
            method = f"{method} (no standard error: undetermined)"
            return replace(one, low=None, high=None, method=method, level=each)
        ratio = t_quantile((1 + each) / 2, one.df) / t_quantile((1 + one.level) / 2, one.df)
        low = None if one.low is None else one.value - ratio * (one.value - one.low)
        high = None if one.high is None else one.value + ratio * (one.high - one.value)
        return replace(one, low=low, high=high, method=method, level=each)

    return tuple(widened(one) for one in estimates)
