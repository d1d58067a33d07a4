"""Bootstrap intervals, for figures that have no formula of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int

RESAMPLES = 999
_JACKKNIFE_LIMIT = 1000  # BCa evaluates the figure once per unit more; beyond this percentile intervals agree
_MANY, _RESAMPLES_OF_MANY = 20_000, 199  # beyond so many units a standard error is enough
_MAY_FAIL = 0.05  # share of the resamples


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " m"]], float],
    clusters: Int[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    unit: str,
    level: float = 0.95,
) -> Estimate:
    """Any figure of the rows. `statistic` takes positions of rows (with repetitions) and returns a float.

    Unit: one cluster (a row where each is its own). 999 resamples, BCa up to 1,000 units, percentile up to 20,000:
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993. Beyond, where figures are all but normal, 199 resamples
    and value ± t · their standard error, with 198 degrees of freedom for having so few.
    Resamples on which the figure raises or isn't finite are left out; more than 5 % of them, fewer than 10 units, or a
    figure that does not vary: undetermined. Raises what `statistic` raises on the rows as they are.
    """
    _, which = np.unique(clusters, return_inverse=True)
    units = int(which.max(initial=-1)) + 1
    value = float(statistic(np.arange(len(clusters))))
    resamples = RESAMPLES if units <= _MANY else _RESAMPLES_OF_MANY
    method = "BCa" if units <= _JACKKNIFE_LIMIT else "percentile" if units <= _MANY else "normal"
    label = f"{method} bootstrap over {'rows' if units == len(clusters) else 'groups of rows'}"
    if units < 10:
        return Estimate(value, None, None, unit, units, f"{label} (too few: undetermined)", level=level)
    rows_of = _rows_of_units(which)

    def attempt(chosen: Int[np.ndarray, " m"]) -> float:
        try:
            return float(statistic(rows_of(chosen)))
        except Exception:  # a user's metric may lack a class on a resample: counted below
            return np.nan

    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.array([attempt(rng.integers(units, size=units)) for _ in range(resamples)])
        found = np.sort(drawn[np.isfinite(drawn)])
        failed = resamples - len(found)
        if failed > _MAY_FAIL * resamples or not np.isfinite(value):
            label = f"{label} (fails on {failed} of {resamples} resamples: undetermined)"
            return Estimate(value, None, None, unit, units, label, level=level)
        se, df = float(found.std(ddof=1)), min(units, resamples) - 1
        if method == "BCa":
            left_out = np.array([attempt(np.delete(np.arange(units), u)) for u in range(units)])
            low, high = _bca(value, found, left_out[np.isfinite(left_out)], level)
        elif method == "percentile":
            low, high = map(float, np.quantile(found, [(1 - level) / 2, (1 + level) / 2]))
        else:
            low, high = (value + sign * float(stats.t.ppf((1 + level) / 2, df)) * se for sign in (-1, 1))
    if found[0] == found[-1] or not np.isfinite([low, high]).all():
        return Estimate(value, None, None, unit, units, f"{label} (no variation: undetermined)", level=level)
    return Estimate(value, low, high, unit, units, label, se, df if method == "normal" else units - 1, level)


def _rows_of_units(which: Int[np.ndarray, " n"]) -> Callable[[Int[np.ndarray, " u"]], Int[np.ndarray, " m"]]:
    """A function from chosen units to the positions of all their rows."""
    order, size = np.argsort(which, kind="stable"), np.bincount(which)
    if len(size) == len(which):
        return lambda chosen: order[chosen]
    start = np.cumsum(size) - size

    def of_groups(chosen: Int[np.ndarray, " u"]) -> Int[np.ndarray, " m"]:
        sizes = size[chosen]
        first = np.repeat(start[chosen] - (np.cumsum(sizes) - sizes), sizes)
        rows: Int[np.ndarray, " m"] = order[first + np.arange(len(first))]
        return rows

    return of_groups


def _bca(
    value: float, found: Float[np.ndarray, " b"], left_out: Float[np.ndarray, " units"], level: float
) -> tuple[float, float]:
    """Bias-corrected and accelerated ends, from the figure on resamples and with one unit left out at a time."""
    bias = stats.norm.ppf(((found < value).mean() + (found <= value).mean()) / 2)
    away = left_out.sum() / max(len(left_out), 1) - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    at = stats.norm.cdf(bias + z / (1 - acceleration * z))
    if not np.isfinite(at).all():
        return np.nan, np.nan
    low, high = np.quantile(found, at)
    return float(low), float(high)
