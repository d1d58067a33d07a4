"""Intervals over rows and training seeds at once: crossed variance components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import digamma, polygamma, stdtridf

from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.stats.means import clustered, df_of_sum, mean
from uncork.stats.score import bounds_of, gain, influence

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_RARE = 10  # rows of the rarer class below which an AUC says nothing


@dataclass(frozen=True)
class SeedVariance:
    """Variance between training seeds of a figure measured on all rows, with its degrees of freedom."""

    variance: float
    df: float


class Part(NamedTuple):
    """A part of the variance of a figure, and its degrees of freedom."""

    variance: float
    df: float


def seed_variance(
    values: Float[np.ndarray, "s n"], *, clusters: Int[np.ndarray, " n"] | None = None
) -> SeedVariance | None:
    """Variance between the seeds' means, for `moderate`; None for one seed.

    Estimand: σ_s² + σ_e²/n of D_si = μ + r_i + s_s + e_si, what one training's mean varies by on these rows.
    No less than what the residuals alone make it (σ_s² ≥ 0), as equal means of few seeds do not prove that seeds
    don't matter.
    """
    seeds = len(values)
    if seeds < 2:
        return None
    means = values.mean(axis=1)
    sums = by_unit(values - means[:, None], clusters)
    between = float(np.square(means - means.mean()).sum())
    return SeedVariance(max(between, spread(sums - sums.mean(axis=0), values.shape[1])) / (seeds - 1), seeds - 1)


def moderate(variances: Sequence[float], dfs: Sequence[float]) -> SeedVariance | None:
    """What other arms' seed variances say of this arm's: prior s₀² with d₀ d.f. of a scaled inverse χ².

    Leave out the arm that the prior is for, so that it does not count twice. None where no variance is above 0.
    Moments of log-variances (Smyth, Stat. Appl. Genet. Mol. Biol. 3:3, 2004, §6.2). Smyth has thousands of variances;
    with few, d₀ is overestimated: hence 1/d₀ + 1/Σd in place of 1/d₀, and the larger of s₀² and the pooled variance.
    Under three arms plain pooling. Simulated coverage at 95 % of an arm with 1–3 seeds, true d₀ from 4 to ∞:
    .92–.96 with one or two other arms, .93–.97 with three to eight.
    """
    v, d = np.asarray(variances, dtype=np.float64), np.asarray(dfs, dtype=np.float64)
    pooled, total = float((d * v).sum() / d.sum()) if len(v) else 0.0, float(d.sum())
    if pooled <= 0:
        return None
    if len(v) < 3:
        return SeedVariance(pooled, total)
    v = np.maximum(v, 1e-5 * (float(np.median(v)) or pooled))  # no logarithm of 0
    logs = np.log(v) - digamma(d / 2) + np.log(d / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, d / 2).mean())
    if excess <= 0:  # no wider apart than equal variances would be
        return SeedVariance(pooled, total)
    prior = 2 * _trigamma_inverse(excess)
    centre = float(np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)))
    return SeedVariance(max(centre, pooled), 1 / (1 / prior + 1 / total))


def _trigamma_inverse(y: float) -> float:
    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / y) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return float(x)


def by_unit(residuals: Float[np.ndarray, "s n"], clusters: Int[np.ndarray, " n"] | None) -> Float[np.ndarray, "s g"]:
    """Sums of rows' residuals by cluster; the residuals as they are where each row is its own."""
    n = residuals.shape[1]
    if clusters is None or not clustered(clusters, n):
        return residuals
    _, which = np.unique(clusters, return_inverse=True)
    return np.stack([np.bincount(which, weights=r) for r in residuals])


def spread(sums: Float[np.ndarray, "s g"], n: int) -> float:
    """What units' sums of residuals make the variance of a mean of n rows (G/(G−1) Σ sum²/n²), summed over s."""
    units: int = sums.shape[1]
    return float(np.square(sums).sum()) * units / (max(units - 1, 1) * n * n)


def rows_part(sums: Float[np.ndarray, " g"], n: int, residual: float, df: float | None = None) -> Part:
    """Variance over rows of a grand mean: the units' spread less the `residual` in it, at least 0."""
    return Part(max(0.0, spread(sums[None], n) - residual), max(len(sums) - 1, 1) if df is None else df)


def t_over(
    value: float,
    parts: Sequence[Part],
    bounds: tuple[float, float] | None,
    unit: str,
    n: int,
    method: str,
    level: float,
) -> Estimate:
    """t interval from independent `parts` of the variance; no variation at all: as in `mean`.

    Quantile: the parts' own t quantiles weighted by their variances (Cochran & Cox, Experimental Designs, 1957, §4.14);
    `df` is the number that gives the same. Satterthwaite's is larger, and undercovers where a part of 1 or 2 d.f.
    comes out small by chance. Coverage at 95 %, worst ratio of two parts: .94 with 1 d.f. (Satterthwaite .88),
    .950 with 2 (.92), .951 with 4 (.94).
    """
    variance = sum(p.variance for p in parts)
    if n < 2 or variance <= (1e-12 * max(1.0, abs(value))) ** 2:
        same = mean(np.full(n, value), unit=unit, bounds=bounds, level=level)
        return replace(same, method=same.method.replace("t over rows", method))
    se = math.sqrt(variance)
    t = sum(p.variance * float(stats.t.ppf((1 + level) / 2, p.df)) for p in parts) / variance
    low, high = value - t * se, value + t * se
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(value, low, high, unit, n, method, se, float(stdtridf((1 + level) / 2, t)), level)


def crossed(
    values: Float[np.ndarray, "s n"],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    unit: str,
    prior: SeedVariance | None = None,
    rows_df: float | None = None,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of `values` over the population of rows and of training seeds; for paired comparisons pass differences.

    values[s, i]: row i's part under seed s (value + influence, for AUC and RMSE). Model D_si = μ + r_i + s_s + e_si,
    all effects independent; units: seeds, and rows, or clusters where they group rows (`rows_df`: their d.f. where not
    units − 1). Variance: V/S + σ_r²/n, V that of the seeds' means (`seed_variance`), σ_r²/n = (MS_rows −
    MS_residual)/(nS), at least 0 (Searle, Casella & McCulloch, Variance Components, 1992, §4.3). `prior` (`moderate`)
    squeezes V towards other arms': (d₀ s₀² + d V)/(d₀ + d) with d₀ + d d.f.
    One seed: with `prior`, V is the prior's and the rows' part is a little too large, as it holds residuals too;
    without, the estimand is this very model's mean, over rows alone. All equal: as in `mean`.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"values has shape {values.shape}: give one line of rows for each seed")
    seeds, n = values.shape
    if n == 0 or (seeds == 1 and prior is None):
        found = mean(values[0], clusters=clusters, unit=unit, bounds=bounds, level=level)
        return replace(found, seeds=seeds, method=found.method + (", of this very model" if seeds == 1 else ""))
    own = seed_variance(values, clusters=clusters)
    between = own if prior is None else squeeze(own, prior)
    assert between is not None
    of_seeds = between.variance / seeds
    sums = by_unit(values - values.mean(axis=1, keepdims=True), clusters)
    units = sums.shape[1]
    average = sums.mean(axis=0)
    rows = rows_part(average, n, spread(sums - average, n) / (seeds * max(seeds - 1, 1)), rows_df)
    method = f"crossed t over {'rows' if units == n else 'groups of rows'} × {seeds} seed{'s' if seeds > 1 else ''}"
    method += "" if prior is None else ", seed variance pooled over arms"
    parts = Part(of_seeds, between.df), rows
    found = t_over(float(values.mean()), parts, bounds, unit, units, method, level)
    return replace(found, seeds=seeds, se_seeds=None if found.se is None else math.sqrt(of_seeds))


def squeeze(own: SeedVariance | None, prior: SeedVariance) -> SeedVariance:
    """Posterior of an arm's seed variance; the prior itself where the arm has one seed (`own` is None)."""
    if own is None:
        return prior
    df = prior.df + own.df
    return SeedVariance((prior.df * prior.variance + own.df * own.variance) / df, df)


def gains(metric: Metric, before: Sequence[PassData], after: Sequence[PassData]) -> Float[np.ndarray, "s n"]:
    """Each row's part of each seed's gain (display unit, positive where better): what `crossed` and
    `seed_variance` take. before[s] is compared with after[s]; a side of one model stands against all of the other's.
    """
    seeds = max(len(before), len(after))
    if not before or not after or {len(before), len(after)} - {1, seeds}:
        raise ValueError(f"{len(before)} models before, {len(after)} after: give equally many, or one on one side")
    y = before[0].y
    if not all(len(p) == len(y) and np.array_equal(p.y, y) for p in (*before, *after)):
        raise ValueError("a paired gain needs the same rows and labels before and after, and for every seed")
    parts = [[value + each for value, each in (influence(metric, p) for p in side)] for side in (before, after)]
    return metric.sign * metric.scale * (np.stack(parts[0]) - np.stack(parts[1]))


def gain_over_seeds(
    metric: Metric, before: Sequence[PassData], after: Sequence[PassData], *, prior: SeedVariance | None = None
) -> Estimate:
    """What retraining as `after` gains over `before` on the same rows, positive where better, in the display unit.

    Estimand: the mean over rows and over seeds of both sides. A side of one model where the other has several is
    taken as it is ("this very model"): its rows are drawn again, its luck as a training is not. Unit: as `crossed`;
    `prior` is in the display unit, squared. Error, accuracy and cost: a row is added at the most that one can gain and
    at the most that one can lose, in groups as units of their own (`score.gain`, which is what one seed without prior
    gives). AUC: Satterthwaite over the two classes; fewer than 10 rows of one: undetermined. Raises ValueError for
    callables: use `two_level`.
    """
    if metric.kind == "callable":
        raise ValueError(f"{metric.name} has no linearisation: use two_level from 8 seeds up")
    values, first = gains(metric, before, after), before[0]
    seeds, n = values.shape
    if seeds == 1 and prior is None:
        found = gain(metric, first, after[0])
        return replace(found, seeds=1, method=f"{found.method}, of this very model")
    value, ends, rows_df = float(values.mean()), bounds_of(metric, paired=True), None
    groups = clustered(first.clusters, n)
    clusters = first.clusters if groups else None
    units = len(np.unique(first.clusters)) if groups else n
    classes = [first.y == 1, first.y != 1] if metric.kind == "auc" else []
    if not groups:
        rows_df = _df_of_classes(values.mean(axis=0) - value, classes)
    bounds = None if ends is None else (metric.scale * ends[0], metric.scale * ends[1])
    if bounds is not None:
        copies = _copies(values.mean(axis=0), clusters)
        values = np.c_[values, np.tile(np.repeat(bounds, copies), (seeds, 1))]
        clusters = _with_two(clusters, copies)
    found = crossed(values, clusters=clusters, unit=metric.unit, prior=prior, rows_df=rows_df, bounds=bounds)
    if len(before) != len(after):
        found = replace(found, method=f"{found.method}, {'against' if len(before) == 1 else 'of'} this very model")
    if any(c.sum() < _RARE for c in classes):
        method = f"{found.method} (too few of a class: undetermined)"
        return Estimate(value, None, None, metric.unit, n, method, level=found.level, seeds=seeds)
    return replace(found, value=value, n=units)


def gain_of_recipes(metric: Metric, before: Sequence[PassData], after: Sequence[PassData]) -> Estimate:
    """What training as `after` gains over `before`, from trainings of each whose seeds are independent.

    As `gain_over_seeds`, but that no training of one side belongs with one of the other, and the sides may differ in
    number, from two up. Model for each side: μ + r_i + s_s + e_si, rows shared between the sides, the rest independent.
    Variance: V_a/S_a + V_b/S_b (`seed_variance`), and that over rows of the difference of the sides' row means, less
    the residuals in it, at least 0. Equally many seeds: Satterthwaite's d.f. for the seeds' part (Welch, Biometrika 34,
    1947); else each side's own quantile, as in `t_over`, since the smaller side may vary more. `seeds`: of both sides.
    Simulated coverage at 95 %, rows' part nil, at about the worst ratio of the sides' variances: 2 or 3 seeds each .94,
    3 against 10 seeds .95 (docs/coverage.md). Raises ValueError for callables.
    """
    if metric.kind == "callable" or min(len(before), len(after)) < 2:
        raise ValueError("recipes are compared by two trainings of each or more, in a metric that has a linearisation")
    first, n = before[0], len(before[0])
    if not all(len(p) == n and np.array_equal(p.y, first.y) for p in (*before, *after)):
        raise ValueError("a paired gain needs the same rows and labels before and after, and for every seed")
    sides = [np.stack([value + each for value, each in (influence(metric, p) for p in s)]) for s in (before, after)]
    sides = [metric.sign * metric.scale * side for side in sides]
    value, ends = float(sides[0].mean() - sides[1].mean()), bounds_of(metric, paired=True)
    groups = clustered(first.clusters, n)
    clusters = first.clusters if groups else None
    classes = [first.y == 1, first.y != 1] if metric.kind == "auc" else []
    rows_df = None if groups else _df_of_classes(sides[0].mean(axis=0) - sides[1].mean(axis=0) - value, classes)
    bounds = None if ends is None else (metric.scale * ends[0], metric.scale * ends[1])
    if bounds is not None:  # as in `gain_over_seeds`, half of it on either side
        copies = _copies(sides[0].mean(axis=0) - sides[1].mean(axis=0), clusters)
        halves = [np.repeat(sign * np.array(bounds) / 2, copies) for sign in (1, -1)]
        sides = [np.c_[s, np.tile(e, (len(s), 1))] for s, e in zip(sides, halves, strict=True)]
        clusters = _with_two(clusters, copies)
    of_seeds, averages, residual = [], [], 0.0
    for side in sides:
        own = seed_variance(side, clusters=clusters)
        assert own is not None
        of_seeds.append(Part(own.variance / len(side), own.df))
        sums = by_unit(side - side.mean(axis=1, keepdims=True), clusters)
        averages.append(sums.mean(axis=0))
        residual += spread(sums - averages[-1], side.shape[1]) / (len(side) * (len(side) - 1))
    seeds = sum(part.variance for part in of_seeds)
    if len(before) == len(after):
        of_seeds = [Part(seeds, df_of_sum(of_seeds) or 1.0)]
    rows = rows_part(averages[0] - averages[1], sides[0].shape[1], residual, rows_df)
    units = len(np.unique(first.clusters)) if groups else n
    method = f"t over {'groups of rows' if groups else 'rows'} × {len(before)} and {len(after)} independent seeds"
    middle = float(sides[0].mean() - sides[1].mean())
    found = t_over(middle, [*of_seeds, rows], bounds, metric.unit, units, method, 0.95)
    found = replace(found, value=value, seeds=len(before) + len(after))
    if any(c.sum() < _RARE for c in classes):
        method = f"{method} (too few of a class: undetermined)"
        return Estimate(value, None, None, metric.unit, units, method, level=found.level, seeds=found.seeds)
    return replace(found, se_seeds=None if found.se is None else math.sqrt(seeds))


def _copies(values: Float[np.ndarray, " n"], clusters: Int[np.ndarray, " n"] | None) -> int:
    """How often a row that is added at either bound counts: as many times as rows stand for an independent one."""
    apart = values - values.mean()
    plain = float(np.square(apart).sum())
    if clusters is None or plain <= 0:
        return 1
    return max(1, round(float(np.square(by_unit(apart[None], clusters)).sum()) / plain))


def _with_two(clusters: Int[np.ndarray, " n"] | None, copies: int) -> Int[np.ndarray, " m"] | None:
    """The clusters of the rows, and one more for each of the two that are added."""
    if clusters is None:
        return None
    last = int(clusters.max())
    more: Int[np.ndarray, " m"] = np.r_[clusters, np.repeat([last + 1, last + 2], copies)]
    return more


def _df_of_classes(each: Float[np.ndarray, " n"], classes: Sequence[Bool[np.ndarray, " n"]]) -> float | None:
    """Satterthwaite's d.f. of the rows' part over the two classes of an AUC; None where there are no classes."""
    return df_of_sum([(float(np.square(each[c]).sum()), max(int(c.sum()) - 1, 1)) for c in classes]) or None
