"""Confident learning: labels that out-of-sample probabilities contradict, and what such flags are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson, share
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_GRID = 201  # rates tried between the ends of an interval
_LEFT = 0.05  # 1 − ρ (1 + lands): below it, recall and precision are undetermined


def thresholds(probability: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """The probability that rows of each class are given for it on average; infinite for a class without rows."""
    classes = probability.shape[1]
    own = probability[np.arange(len(y)), y].astype(np.float64)
    size = np.bincount(y, minlength=classes)
    average = np.bincount(y, weights=own, minlength=classes) / np.maximum(size, 1)
    return np.where(size > 0, average, np.inf)


def flag(probability: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Rows whose label the out-of-sample probability contradicts: some other class reaches its threshold, with more
    probability than any other class that does, and the likeliest class is not the label.

    Source: Northcutt, Jiang & Chuang, Confident learning, JAIR 70, 2021; equal to cleanlab's
    `filter_by="confident_learning"` but for ties.
    """
    contradicted: Bool[np.ndarray, " n"] = contradicts(probability, thresholds(probability, y), y[:, None])[:, 0]
    return contradicted


def contradicts(
    probability: Float[np.ndarray, "n k"], threshold: Float[np.ndarray, " k"], labels: Int[np.ndarray, "n m"]
) -> Bool[np.ndarray, "n m"]:
    """Whether each row would be flagged if each of `labels` stood there."""
    confident = np.where(probability >= threshold, probability, -1.0)
    best, likeliest = confident.argmax(axis=1), probability.argmax(axis=1)
    some = confident.max(axis=1) >= 0
    contradicted: Bool[np.ndarray, "n m"] = some[:, None] & (labels != best[:, None]) & (labels != likeliest[:, None])
    return contradicted


def worth(
    flagged: Bool[np.ndarray, " n"],
    spikes_flagged: Float[np.ndarray, " n"],
    rate: Estimate,
    *,
    lands: float,
    clusters: Int[np.ndarray, " n"],
) -> tuple[Estimate, Estimate]:
    """(recall, precision) of the flags: a wrong label's chance to be flagged, the share of these flags that is right.

    spikes_flagged[i]: share of row i's spikes (wrong labels made up for it) that would be flagged. rate: share ρ of
    wrong labels, as `mixture_share` has it from the same spikes; `lands`: chance that a spike on a row whose label is
    wrong hits the true one. With s and f the means of spikes_flagged and flagged, r the recall and q the share of right
    labels that is flagged,
        s = (1 − ρ · lands) r + ρ · lands · q,    f = ρ r + (1 − ρ) q,    precision = ρ r / f.
    Intervals: the least and the most of these over the intervals of ρ and s at once, and for the recall of f, within 0
    and 1; precision is that of this very list, so that f is what it is, and which of its rows are wrong is binomial.
    Undetermined where ρ (1 + lands) comes near 1: spikes no longer tell right labels from wrong ones. Assumes that
    wrong labels are made as the spikes are.
    Unit: a row with its spikes, or a group.
    """
    level = rate.level
    spikes = mean(spikes_flagged, clusters=clusters, unit="share", bounds=(0.0, 1.0), skewed=True, level=level)
    flags = share(flagged, clusters, level=level)
    known = np.array([(e.value, e.low, e.high) for e in (rate, spikes, flags)], np.float64)
    if np.isnan(known).any():
        return _bounded("recall", np.nan, np.zeros(0), 0, rate), _bounded("precision", np.nan, np.zeros(0), 0, rate)
    rates = np.linspace(known[0, 1], known[0, 2], _GRID)  # precision need not be monotone in it
    at_hand = _solved(known[:, :1], lands)
    recalls, _ = _solved(np.stack([x.ravel() for x in np.meshgrid(rates, known[1, 1:], known[2, 1:])]), lands)
    _, precisions = _solved(np.stack([x.ravel() for x in np.meshgrid(rates, known[1, 1:], known[2, :1])]), lands)
    recall, precision = (float(x[0]) for x in at_hand)
    precisions = _drawn(precisions, int(flagged.sum()), level)
    return (
        _bounded("recall", recall, recalls, len(flagged), rate),
        _bounded("precision", precision, precisions, int(flagged.sum()), rate),
    )


def _solved(known: Float[np.ndarray, "3 m"], lands: float) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """(recall, precision) for each (ρ, s, f); not a number where it is undetermined."""
    rate, spikes, flags = known
    left = 1 - rate * (1 + lands)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.clip(((1 - rate) * spikes - rate * lands * flags) / np.where(left > _LEFT, left, np.nan), 0, 1)
        precision = np.clip(rate * recall / np.where(flags > 0, flags, np.nan), 0, 1)
    return recall, precision


def _drawn(shares: Float[np.ndarray, " m"], of: int, level: float) -> Float[np.ndarray, " m"]:
    """The shares, and how many of `of` rows the least and the most of them would make by chance."""
    if not of or not np.isfinite(shares).all():
        return shares
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    ends: Float[np.ndarray, " 2"] = stats.binom.ppf(tails, of, [shares.min(), shares.max()]) / of
    return np.concatenate([shares, ends])


def _bounded(name: str, value: float, over: Float[np.ndarray, " m"], of: int, rate: Estimate) -> Estimate:
    """`value` between the least and the most of `over`; between 0 and 1 where some of these are unknown.

    Never surer than `of` rows that all agree make it.
    """
    method = f"{name} from spikes, bounds over the intervals it is made from"
    if not np.isfinite(value):
        return Estimate(None, None, None, "share", rate.n, f"{method} (undetermined)", level=rate.level)
    low, high = (float(over.min()), float(over.max())) if np.isfinite(over).all() else (0.0, 1.0)
    all_, none = (clopper_pearson(hits, of, level=rate.level) for hits in (of, 0))
    assert all_.low is not None
    assert none.high is not None
    low, high = min(low, all_.low), max(high, none.high)
    return Estimate(value, low, high, "share", rate.n, method, level=rate.level)
