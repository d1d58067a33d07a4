"""Order statistics: intervals for quantiles that assume no distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float


def quantile(values: Float[np.ndarray, " n"], q: float, *, unit: str, level: float = 0.95) -> Estimate:
    """The q-quantile of the population, between two order statistics; an end that n is too small for is None.

    Unit: one value, independent. The number of values below the quantile is binomial (n, q), and either end misses with
    at most half of 1 − level, so that a 99th percentile has an upper end from 368 values up. Source: Conover, Practical
    Nonparametric Statistics, 1999, §3.2. `value`: numpy's, between the two nearest values.
    """
    ordered = np.sort(np.asarray(values, float))
    n, method, tail = len(ordered), "order statistics", (1 - level) / 2
    counts = np.arange(n + 1)
    # The k-th value, counted from 1, lies above the quantile where fewer than k values are below it.
    below = counts[1:][stats.binom.cdf(counts[:-1], n, q) <= tail]
    above = counts[1:][stats.binom.sf(counts[:-1], n, q) <= tail]
    low = float(ordered[below[-1] - 1]) if len(below) else None
    high = float(ordered[above[0] - 1]) if len(above) else None
    value = float(np.quantile(ordered, q)) if n else None
    if low is None or high is None:
        method += " (too few: undetermined)"
    return Estimate(value, low, high, unit, n, method, level=level)


def median(values: Float[np.ndarray, " n"], *, unit: str, level: float = 0.95) -> Estimate:
    """Median of the population, as `quantile`; undetermined below 6 values."""
    return quantile(values, 0.5, unit=unit, level=level)
