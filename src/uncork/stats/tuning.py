"""What the best of so many random trials reaches: curves and bounds that assume no distribution."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special, stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float


def tuning_curve(
    scores: Float[np.ndarray, " k"],
    up_to: int,
    *,
    unit: str,
    higher_is_better: bool,
    quantile: float = 0.5,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """The score that the best of m trials falls short of with probability `quantile`, for m = 1 … `up_to`.

    That is quantile q^(1/m) of one trial's score (counted from the worst), read off a band that holds the whole
    distribution with probability `level`: all m hold together. The band's two sides let each order statistic miss with
    one and the same chance, so it stays narrow at the best scores, where Kolmogorov's says nothing of the top 1.36 √k.
    Value: the empirical quantile; None beyond the best score's own median rank. An end that no trial bounds, as
    everything better than the best one, is the metric's own in `bounds`, or None.
    Unit: one trial, independent, of the same search. Ties only make it conservative. Source: Lourie, Cho & He, arXiv
    2311.09480.
    """
    sign = 1 if higher_is_better else -1
    ordered = np.sort(sign * np.asarray(scores, np.float64))
    k = len(ordered)
    below, above = _band(k, level) if k else (np.empty(0), np.empty(0))
    worst, best = (None, None) if bounds is None else bounds[::sign]
    found = []
    for m in range(1, up_to + 1):
        at = quantile ** (1 / m)
        passed = int(np.searchsorted(above, at))  # order statistics that lie before the quantile at most
        reached = int(np.searchsorted(below, at))  # the first that lies at or after it
        near = sign * ordered[passed - 1] if passed else worst
        far = sign * ordered[reached] if reached < k else best
        value = sign * ordered[max(math.ceil(k * at - 1e-9), 1) - 1] if k and at <= 0.5 ** (1 / k) + 1e-12 else None
        low, high = (near, far) if higher_is_better else (far, near)
        found.append(Estimate(value, low, high, unit, k, "equal-local-level band over trials", level=level))
    return tuple(found)


def share_beyond_best(trials: int, *, level: float = 0.95) -> Estimate:
    """Share of the search's further trials that would beat the best of so many: its median and one-sided bound.

    The best of n lies beyond the q-quantile with probability 1 − qⁿ, so at most 1 − (1 − level)^(1/n) lie beyond it:
    59 trials leave at most 5 %. Exact for continuous scores, conservative with ties. Unit: one trial, independent.
    Source: Wilks, Ann. Math. Stat. 12, 1941.
    """
    method = "order statistics over trials (one-sided)"
    if trials == 0:
        return Estimate(None, 0.0, 1.0, "share of trials", 0, method, level=level)
    value, high = (-math.expm1(math.log(p) / trials) for p in (0.5, 1 - level))
    return Estimate(value, 0.0, high, "share of trials", trials, method, level=level)


def gain_of_more(
    scores: Float[np.ndarray, " k"],
    more: int,
    *,
    unit: str,
    higher_is_better: bool,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
) -> Estimate:
    """What the best of `more` further trials is expected to be better by than the best of so many; 0 where it isn't.

    low: nothing, as no trials can show that there is anything better. high: the chance that one of them beats the best
    (`share_beyond_best`, one-sided) times all that lies between the best and the metric's own end in `bounds`; None
    where that has none. Distribution-free: it holds with probability ≥ `level`.
    value: what the last `more` of the k trials gained, the mean over all orders of them: an unbiased estimate of no
    less than what the next ones gain, since E[best of n] rises ever more slowly. None for `more` ≥ k, or where a score
    that counts is infinite. Unit: one trial, independent, of the same search.
    """
    sign = 1 if higher_is_better else -1
    ordered = np.sort(sign * np.asarray(scores, np.float64))[::-1]
    k, method = len(ordered), "order statistics over trials (one-sided)"
    if not k:
        return Estimate(None, 0.0, None, unit, 0, method, level=level)
    best, end = ordered[0], max(sign * np.asarray(bounds))
    share = share_beyond_best(k, level=level).high
    assert share is not None
    high = float(-math.expm1(more * math.log1p(-share)) * (end - best)) if np.isfinite(end - best) else None
    value = None
    if more < k:
        at = np.arange(more + 1)  # the chance that the i-th best is the best of k − more of them; of worse ones none
        chance = special.binom(k - 1 - at, k - more - 1) / special.binom(k, k - more)
        gained = float(best - ordered[: more + 1] @ chance)
        value = None if not math.isfinite(gained) else gained if high is None else min(gained, high)
    return Estimate(value, 0.0, high, unit, k, method, level=level)


@lru_cache(maxsize=32)
def _band(k: int, level: float) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Ends of the distribution function at each order statistic, all holding together with probability `level`.

    The i-th is Beta(i, k + 1 − i); the local level that each keeps is solved for, with the chance of crossing exact.
    """

    def ends(local: float) -> tuple[np.ndarray, np.ndarray]:
        i = np.arange(1, k + 1)
        return stats.beta.ppf(local / 2, i, k + 1 - i), stats.beta.ppf(1 - local / 2, i, k + 1 - i)

    alpha = 1 - level
    local = optimize.brentq(lambda x: _inside(*ends(x)) - level, alpha / k / 2, alpha * (1 + 1e-9), xtol=1e-9)
    return ends(local)


def _inside(below: Float[np.ndarray, " k"], above: Float[np.ndarray, " k"]) -> float:
    """P(below_i ≤ U_(i) ≤ above_i for all i) of k ordered uniform draws.

    A Poisson process of rate k on [0, 1], given k points in all: the distribution of their count is carried from
    one end to the next, cut to the counts allowed there. Source: Moscovich & Nadler, Stat. Prob. Letters 123, 2017.
    """
    k = len(below)
    times = np.append(np.sort(np.r_[below, above]), 1.0)
    most = np.searchsorted(below, times, side="left")
    least = np.searchsorted(above, times, side="right")
    most[-1] = least[-1] = k
    chance, first, before = np.ones(1), 0, 0.0
    for time, low, high in zip(times, least, most, strict=True):
        if low > high:
            return 0.0
        new = np.arange(high - first + 1)
        step = np.exp(special.xlogy(new, k * (time - before)) - k * (time - before) - special.gammaln(new + 1))
        chance = np.convolve(chance, step)[max(low - first, 0) : high - first + 1]
        first, before = max(low, first), time
    return float(chance[0] / stats.poisson.pmf(k, k))
