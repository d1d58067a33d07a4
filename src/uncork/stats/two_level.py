"""Two-level bootstrap over rows and training seeds, for figures without a linearisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.crossed import Part, t_over

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MIN_SEEDS = 8
MIN_UNITS = 10
RESAMPLES = 399
_MAY_FAIL = 0.05  # share of the resamples


def two_level(
    statistic: Callable[[Float[np.ndarray, " n"], int], float],
    clusters: Int[np.ndarray, " n"],
    seeds: int,
    rng: np.random.Generator,
    *,
    unit: str,
    level: float = 0.95,
) -> Estimate:
    """Mean over training seeds of any figure of the rows, in the population of rows and of seeds.

    `statistic` takes a weight for each row (counts of a resample) and the position of a seed, and returns a float:
    `weighted_auc`, `weighted_rmse`, `np.average(each, weights=…)`, or a difference of two.
    Units: one cluster (a row where each is its own), and one seed; both are resampled, crossed: the pigeonhole
    bootstrap (Owen, Annals of Applied Statistics 1, 2007), whose variance is at least the true one (a residual counts
    three times). 399 resamples of units; over the resamples of seeds the mean's variance is known, Σ(T_bs − T̄_b)²/S²,
    so that none is drawn, and is taken times S/(S − 1). Value ± t · standard error with `t_over`'s quantile: at few
    seeds percentiles are too near (8 seeds, no rows' part: .89 of 95 %).
    Fewer than 8 seeds or 10 units, more than 5 % of resamples on which the figure raises or isn't finite, or no
    variation: undetermined. Raises what `statistic` raises on the rows as they are.
    """
    _, which = np.unique(clusters, return_inverse=True)
    units, n = int(which.max(initial=-1)) + 1, len(clusters)
    method = f"two-level bootstrap over {'rows' if units == n else 'groups of rows'} × {seeds} seeds"
    value = float(np.mean([statistic(np.ones(n), s) for s in range(seeds)])) if seeds and n else None

    def undetermined(why: str) -> Estimate:
        return Estimate(value, None, None, unit, units, f"{method} ({why}: undetermined)", level=level, seeds=seeds)

    if value is None or not math.isfinite(value):
        return undetermined("no value")
    if seeds < MIN_SEEDS:
        return undetermined(f"fewer than {MIN_SEEDS} seeds")
    if units < MIN_UNITS:
        return undetermined(f"fewer than {MIN_UNITS} units")

    def attempt(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " s"]:
        try:
            return np.array([float(statistic(weights, s)) for s in range(seeds)])
        except Exception:  # a user's metric may lack a class on a resample: counted below
            return np.full(seeds, np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.stack([attempt(resample(rng, units)[which]) for _ in range(RESAMPLES)])
    found = drawn[np.isfinite(drawn).all(axis=1)]
    failed = RESAMPLES - len(found)
    if failed > _MAY_FAIL * RESAMPLES:
        return undetermined(f"fails on {failed} of {RESAMPLES} resamples")
    of_rows, of_seeds = float(found.mean(axis=1).var(ddof=1)), float(found.var(axis=1, ddof=1).mean()) / seeds
    parts = Part(of_rows, min(units, RESAMPLES) - 1), Part(of_seeds, seeds - 1)
    estimate = t_over(value, parts, None, unit, units, method, level)
    if estimate.se is None:
        return undetermined("no variation")
    return replace(estimate, seeds=seeds, se_seeds=math.sqrt(of_seeds))


def resample(rng: np.random.Generator, units: int) -> Float[np.ndarray, " units"]:
    """How often each unit is drawn in a bootstrap sample of as many."""
    return np.bincount(rng.integers(units, size=units), minlength=units).astype(np.float64)


def weighted_auc(score: Float[np.ndarray, " n"], y: Int[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """Area under the ROC curve of class 1 (ties count half) of weighted rows; nan where a class has no weight."""
    _, level = np.unique(score, return_inverse=True)
    positive = np.bincount(level, weights=weights * (y == 1))
    negative = np.bincount(level, weights=weights * (y != 1))
    total = float(positive.sum()) * float(negative.sum())
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below) / total if total > 0 else math.nan


def weighted_rmse(
    predicted: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> float:
    """Root of the weighted mean of squared errors."""
    return math.sqrt(float(np.average(np.square(predicted - y), weights=weights)))
