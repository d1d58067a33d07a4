"""How much a figure varies between trainings, and where the next training's will lie."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float

    from uncork.stats.crossed import SeedVariance


def deviation(values: Float[np.ndarray, " s"], *, unit: str, level: float = 0.95) -> Estimate:
    """Standard deviation of a figure between training seeds, on the rows as they are.

    values[s]: the figure of seed s. Interval: s · √((S − 1) / χ²), exact for a normal figure. With 3 seeds it reaches
    from half to six times s, which is what 3 seeds tell. The value is the root of the unbiased variance, with 3 seeds
    11 % too small on average. Fewer than 2 seeds, or all equal: undetermined, as equal figures of few seeds do not
    prove that seeds don't matter. Unit: one training.
    """
    values = np.asarray(values, dtype=np.float64)
    seeds = len(values)
    method = f"χ² over {seeds} seed{'s' if seeds != 1 else ''}"
    if seeds < 2:
        return Estimate(None, None, None, unit, seeds, f"{method} (undetermined)", level=level, seeds=seeds)
    s = float(values.std(ddof=1))
    if s <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return Estimate(0.0, None, None, unit, seeds, f"{method} (all agree: undetermined)", level=level, seeds=seeds)
    tails = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], seeds - 1)
    low, high = (s * math.sqrt((seeds - 1) / float(q)) for q in tails)
    return Estimate(s, low, high, unit, seeds, method, level=level, seeds=seeds)


def one_more(
    values: Float[np.ndarray, " s"],
    *,
    unit: str,
    between: SeedVariance | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = 0.95,
) -> Estimate:
    """Where the figure of one more training will lie, on the same rows: mean ± t · s · √(1 + 1/S).

    `between`: the variance between seeds where more is known than the S figures say (`seed_variance`, which is no less
    than what the rows' own luck makes it). The `value` is the mean. `se`, `df`: of the next figure minus that mean, so
    that shifted by a model's figure it is the interval of the difference between its recipe and this one. `bounds`:
    what no figure lies beyond.
    Prediction interval of a normal figure (Hahn & Meeker, Statistical Intervals, 1991, §4.7). Fewer than 2 seeds, or
    all equal: undetermined. Unit: one training.
    """
    values = np.asarray(values, dtype=np.float64)
    seeds, value = len(values), float(np.mean(values)) if len(values) else None
    method = f"t prediction interval of one more training, from {seeds} seed{'s' if seeds != 1 else ''}"
    variance, df = (between.variance, between.df) if between is not None else (0.0, seeds - 1.0)
    if between is None and seeds > 1:
        variance = float(values.var(ddof=1))
    if value is None or seeds < 2 or variance <= (1e-12 * max(1.0, abs(value))) ** 2:
        return Estimate(value, None, None, unit, seeds, f"{method} (undetermined)", level=level, seeds=seeds)
    se = math.sqrt(variance * (1 + 1 / seeds))
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    low, high = max(value - half, bounds[0]), min(value + half, bounds[1])
    return Estimate(value, low, high, unit, seeds, method, se, df, level, seeds, se)


def magnitude(estimate: Estimate) -> Estimate:
    """Size of a signed figure, whatever its sign. From its interval: covers at least as often as that one.

    Biased upwards where the figure is near 0. Unit: that of the figure. No `se`: the interval is not symmetric.
    """
    value, low, high = estimate.value, estimate.low, estimate.high
    method = f"size, {estimate.method}"
    bare = replace(estimate, value=None if value is None else abs(value), method=method, se=None, df=None)
    if low is None or high is None:
        return replace(bare, low=None, high=None, se_seeds=None)
    return replace(bare, low=max(0.0, low, -high), high=max(-low, high), se_seeds=None)
