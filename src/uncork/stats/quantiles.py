"""Order statistics: intervals for quantiles that assume no distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float


def median(values: Float[np.ndarray, " n"], *, unit: str, level: float = 0.95) -> Estimate:
    """Median of the population, between two order statistics; undetermined below 6 values.

    Unit: one value, independent. Binomial counts of values below the median (Conover, Practical Nonparametric
    Statistics, 1999, §3.2).
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    method = "order statistics"
    value = float(np.median(ordered)) if n else None
    k = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    # Ends at the k-th from either side, counted from 1, miss with probability 2 · P(fewer than k values below).
    while k > 0 and 2 * stats.binom.cdf(k - 1, n, 0.5) > 1 - level:
        k -= 1
    if k < 1:
        return Estimate(value, None, None, unit, n, f"{method} (too few: undetermined)", level=level)
    return Estimate(value, float(ordered[k - 1]), float(ordered[n - k]), unit, n, method, level=level)
