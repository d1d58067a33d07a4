"""Prediction sets and intervals that hold the truth as often as asked.

Written out, since mapie calibrates estimators and here are arrays of outputs; in the tests both give the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def conformal_quantile(scores: Float[np.ndarray, " n"], coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest score; infinite where n is too small for that coverage.

    With exchangeable rows a new row's score lies at or below it with probability ≥ `coverage`, on average over
    calibration sets (Vovk, Gammerman & Shafer 2005; Papadopoulos et al. 2002).
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def quantiles_by(
    scores: Float[np.ndarray, " n"], which: Int[np.ndarray, " n"], kinds: int, coverage: float
) -> Float[np.ndarray, " kinds"]:
    """`conformal_quantile` of the rows of each kind (class, bin, group) alone: coverage holds in each of them.

    Infinite for a kind of too few rows. Mondrian conformal prediction (Vovk, Gammerman & Shafer 2005, §4.5).
    """
    return np.array([conformal_quantile(scores[which == kind], coverage) for kind in range(kinds)])


def least_ambiguous_sets(
    probability: Float[np.ndarray, "n k"],
    y: Int[np.ndarray, " n"],
    fresh: Float[np.ndarray, "m k"],
    coverage: float,
    *,
    by_class: bool = False,
) -> Bool[np.ndarray, "m k"]:
    """Sets for `fresh` rows: every class whose probability is at least the calibrated threshold.

    Calibrated on `probability`, `y`; score 1 − probability of the label (Sadinle, Lei & Wasserman, JASA 114, 2019).
    `by_class`: a threshold for each class from its own rows, so that rows of every class are held as often as asked; a
    class of too few rows is in every set.
    """
    scores = 1 - probability[np.arange(len(y)), y]
    k = probability.shape[1]
    limit = quantiles_by(scores, y, k, coverage) if by_class else conformal_quantile(scores, coverage)
    sets: Bool[np.ndarray, "m k"] = 1 - fresh <= limit
    return sets


def quantile_interval(scores: Float[np.ndarray, " n"], share: float, *, unit: str, level: float = 0.95) -> Estimate:
    """The conformal quantile as an estimate of the population's, between two order statistics.

    An end that so few rows don't have is unbounded; without a finite quantile only the lower end is known.
    Unit: one row, independent. Binomial counts of scores below the quantile (Conover, Practical Nonparametric
    Statistics, 1999, §3.2).
    """
    n, ordered, value = len(scores), np.sort(scores), conformal_quantile(scores, share)
    tail = (1 - level) / 2
    # The count below is ≤ low − 1 with probability ≤ tail, and ≥ high with probability ≤ tail.
    low = int(stats.binom.ppf(tail, n, share))
    high = int(stats.binom.ppf(1 - tail, n, share)) + 1
    known = None if math.isinf(value) else value
    ends = float(ordered[low - 1]) if low >= 1 else None, float(ordered[high - 1]) if high <= n else None
    method = "conformal quantile, order statistics"
    if ends[0] is not None and ends[0] == ends[1]:
        ends, method = (None, None), f"{method} (all agree: undetermined)"
    return Estimate(known, *ends, unit, n, method, level=level)
