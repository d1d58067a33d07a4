"""Does a figure foretell another? The slope between two that are both known with error only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def slope(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    se_x: Float[np.ndarray, " n"],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    unit: str,
    level: float = 0.95,
) -> Estimate:
    """Slope of E[true y | true x], a straight line with an intercept, from an `x` with known standard errors.

    Plain least squares is drawn to 0 by the noise in x; here that noise's share is taken out of the spread of x: β̂
    solves mean[(x − x̄)(y − ȳ − β(x − x̄)) + (1 − 1/n) β se_x²] = 0 (Fuller, Measurement Error Models, 1987, §1.2, §3.1).
    Noise in y, and scatter about the line, need not be known; the errors of x and y must be independent.
    Interval: Fieller's, every β at which that mean, with its variance over units, is within t of 0 on units − 1 degrees
    of freedom. Where it is not of finite length (x may not vary beyond its own noise), or below 5 units: undetermined.
    Unit: one pair, or one cluster of pairs, independent.
    """
    x, y, noise = np.asarray(x, np.float64), np.asarray(y, np.float64), np.square(np.asarray(se_x, np.float64))
    n = len(x)
    which = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    units = len(np.unique(which))
    method = f"errors-in-variables slope, Fieller t over {'pairs' if units == n else 'groups of pairs'}"
    if units < 5:
        return Estimate(None, None, None, unit, units, f"{method} (too few: undetermined)", level=level)
    from_x, from_y = x - x.mean(), y - y.mean()
    # Each unit's part of a and b in a − β b, which is 0 at the slope.
    a = np.bincount(which, weights=from_x * from_y) / n
    b = np.bincount(which, weights=np.square(from_x) - (1 - 1 / n) * noise) / n
    total_a, total_b = float(a.sum()), float(b.sum())
    spread = units * np.cov(a, b)
    t = float(stats.t.ppf((1 + level) / 2, units - 1))
    square = total_b**2 - t * t * spread[1, 1]
    if total_b <= 0 or square <= 0:
        value = total_a / total_b if total_b > 0 else None
        return Estimate(value, None, None, unit, units, f"{method} (x hardly varies: undetermined)", level=level)
    value = total_a / total_b
    variance = float(spread[0, 0] - 2 * value * spread[0, 1] + value**2 * spread[1, 1])
    se = math.sqrt(max(variance, 0.0)) / total_b
    if se <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None, unit, units, f"{method} (no scatter: undetermined)", level=level)
    mixed = total_a * total_b - t * t * spread[0, 1]
    constant = total_a**2 - t * t * spread[0, 0]
    half = math.sqrt(max(mixed**2 - square * constant, 0.0))
    return Estimate(value, (mixed - half) / square, (mixed + half) / square, unit, units, method, se, units - 1, level)
