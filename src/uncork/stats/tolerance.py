"""A threshold that at most a stated share of a population exceeds, from a sample of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from jaxtyping import Float


def upper_threshold(values: Float[np.ndarray, " n"], rate: float, confidence: float) -> float | None:
    """The smallest value of the sample above which lies at most `rate` of the population, with probability
    `confidence`; None where there are too few rows.

    Exact for independent rows of any distribution: above the j-th of n in rising order lies at most `rate` where fewer
    than j of n fall below the population's 1 - rate quantile, which has the binomial's probability (Wilks, Ann. Math.
    Stat. 12, 1941). Ties only lower the share above it.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    ranks = np.arange(1, n + 1)
    sure = special.bdtr(ranks - 1, n, 1 - rate) >= confidence
    return float(ordered[sure.argmax()]) if sure.any() else None
