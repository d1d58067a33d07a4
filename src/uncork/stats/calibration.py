"""Does confidence equal correctness? Estimates whose bias and null are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

BINS = 15
_SMALLEST = 10
_NORMAL = 1e9  # of a noncentral χ², beyond which it is normal and its series has no digits left


def equal_mass_bins(confidence: Float[np.ndarray, " n"], bins: int = BINS) -> Int[np.ndarray, " n"]:
    """The bin of each row, of as equal size as ties allow; rows that tie stay together.

    At least 10 rows a bin (one bin where there are fewer): what ties cut off smaller joins the next bin.
    """
    bins = max(1, min(bins, len(confidence) // _SMALLEST))
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    which = np.searchsorted(edges, confidence, side="left")
    joined = np.zeros(bins, np.int64)
    rows = current = 0
    for b, size in enumerate(np.bincount(which, minlength=bins)):
        if rows >= _SMALLEST and size > 0:
            current, rows = current + 1, 0
        joined[b] = current
        rows += int(size)
    if 0 < rows < _SMALLEST and current > 0:
        joined[joined == current] = current - 1
    return joined[which]


def expected_calibration_error(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], which: Int[np.ndarray, " n"]
) -> float:
    """Plain ECE over given bins: Σ share of bin × |mean confidence − accuracy|. Biased up: see `calibrated_null`.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015.
    """
    gap = np.bincount(which, weights=confidence - correct)
    return float(np.abs(gap).sum() / len(confidence))


def calibrated_null(
    confidence: Float[np.ndarray, " n"],
    which: Int[np.ndarray, " n"],
    rng: np.random.Generator,
    draws: int = 500,
) -> Float[np.ndarray, " draws"]:
    """Sorted plain ECEs that a perfectly calibrated model with these confidences would show on so many rows.

    Unit: one row, independent. Labels are drawn Bernoulli(confidence), the confidences and bins are kept
    (Vaicenavicius et al., AISTATS 2019).
    """
    sums = np.empty(draws)
    totals = np.bincount(which, weights=confidence)
    order = np.argsort(which, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(which))[:-1]]
    sorted_confidence = confidence[order]
    for i in range(draws):
        hits = np.add.reduceat(rng.random(len(confidence)) < sorted_confidence, starts, dtype=np.float64)
        sums[i] = np.abs(totals - hits).sum()
    return np.sort(sums / len(confidence))


def calibration_error(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    which: Int[np.ndarray, " n"],
    *,
    level: float = 0.95,
) -> Estimate:
    """Root mean square gap between confidence and accuracy over bins, debiased; never below the ECE it estimates.

    Estimand: sqrt(Σ_b w_b (E[confidence|b] − P(correct|b))²). The mean square is debiased by each bin's sampling
    variance (Kumar, Liang & Ma, NeurIPS 2019), then cut at zero. Interval: Σ w_b gap_b² is a sum of squares of
    near-normal terms, so its scaled noncentral χ² (two moments matched) is inverted, which holds at zero too, where a
    bootstrap of the ECE covers nothing. The upper end is never below what a calibrated model would typically show, nor
    below what a few errors not seen yet would add: it is taken again with the bin where that matters most replaced by
    its Agresti–Coull estimate (Am. Stat. 52, 1998); and again with the bins' own variances alone, since no less than
    what the confidences state is too much, which over hundreds of bins adds up. Unit: one row.
    """
    n = len(confidence)
    method = "noncentral χ² over rows"
    residual = confidence - correct
    size = np.bincount(which).astype(np.float64)
    gap = np.bincount(which, weights=residual) / size
    if n < 20 or size.min() < 2:
        return Estimate(None, None, None, "rms gap", n, f"{method} (too few rows)", level=level)
    within = np.bincount(which, weights=(residual - gap[which]) ** 2) / (size - 1)
    # A bin without a single error has no sample variance; what its confidence states is the next best.
    stated = np.bincount(which, weights=confidence * (1 - confidence)) / size
    variance = np.maximum(within, stated) / size
    weight = size / n
    square = float((weight * gap**2).sum())
    if not variance.any():
        return Estimate(math.sqrt(square), None, None, "rms gap", n, f"{method} (no variance)", level=level)
    tail = (1 - level) / 2
    low, _ = _ends(weight, gap, variance, tail)
    others = [(gap, variance), _with_unseen(weight, gap, variance, confidence, correct, which, level)]
    if (weight * within / size).sum() > 1e-3 * (weight * variance).sum():  # else it is as good as none
        others.append((gap, within / size))
    high = max(_ends(weight, *other, tail)[1] for other in others)
    value = math.sqrt(max(square - float((weight * within / size).sum()), 0.0))
    return Estimate(value, low, high, "rms gap", n, method, level=level)


def _with_unseen(
    weight: np.ndarray,
    gap: np.ndarray,
    variance: np.ndarray,
    confidence: np.ndarray,
    correct: np.ndarray,
    which: np.ndarray,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(gap, variance) of each bin, with the one bin taken by Agresti–Coull where that adds most to the mean square."""
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    size = np.bincount(which)
    share = (np.bincount(which, weights=correct) + z2 / 2) / (size + z2)
    other_gap = np.bincount(which, weights=confidence) / size - share
    other_variance = np.maximum(variance, share * (1 - share) / (size + z2))
    here = np.arange(len(gap)) == np.argmax(weight * (other_gap**2 - gap**2))
    return np.where(here, other_gap, gap), np.where(here, other_variance, variance)


def _ends(weight: np.ndarray, gap: np.ndarray, variance: np.ndarray, tail: float) -> tuple[float, float]:
    """Interval of sqrt(Σ w·E[gap]²): the noncentralities at which Σ w·gap² stands at either tail of its scaled χ²."""
    noise = float((weight * variance).sum())
    scale = float((weight**2 * variance**2).sum()) / noise
    df = noise / scale

    def bound(statistic: float, probability: float) -> float:
        """The noncentrality at which the statistic stands at that quantile; 0 where even 0 is too much."""

        def excess(noncentrality: float) -> float:
            return float(special.chndtr(statistic, df, noncentrality)) - probability

        if special.gammainc(df / 2, statistic / 2) <= probability:
            return 0.0
        if statistic > _NORMAL:
            return statistic - 2 * math.sqrt(statistic) * float(special.ndtri(probability))
        top = 4 * (statistic + 20 * math.sqrt(statistic + df) + 100)
        return float(optimize.brentq(excess, 1e-9, top))

    statistic = float((weight * gap**2).sum()) / scale
    low = bound(statistic, 1 - tail)
    high = bound(max(statistic, 2 * float(special.gammaincinv(df / 2, 0.5))), tail)
    return math.sqrt(low * scale), math.sqrt(high * scale)
