"""Intervals for means of rows and of groups of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def clustered(clusters: Int[np.ndarray, " n"] | None, n: int) -> bool:
    """Whether some rows belong together, so that rows are not the unit of resampling."""
    return clusters is not None and len(np.unique(clusters)) < n


def mean(
    values: Float[np.ndarray, " n"],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    unit: str,
    bounds: tuple[float, float] | None = None,
    skewed: bool = False,
    level: float = 0.95,
) -> Estimate:
    """Mean of `values` in the population, with a t interval; for paired comparisons pass the differences.

    Unit: one row, or one cluster where `clusters` groups rows (sums of residuals per cluster, G/(G−1) correction,
    G − 1 degrees of freedom: Cameron & Miller, J. Human Resources 50, 2015).
    Where all units agree the sample says nothing of the spread. With `bounds` of a row's value the interval is then
    the one in which a share of at most 1 − (α/2)^(1/G) sits at either bound; without, it is left undetermined.
    No interval reaches beyond `bounds`.

    t takes units for normal: where a few large ones decide it ends too early on their side. `skewed` sets other ends
    (`se` and `df` stay t's). With `bounds`: t's after one row at either bound, a unit of its own, is added, which for
    differences of two shares is Bonett & Price's interval (Statistics in Medicine 31, 2012). In groups that row counts
    as many times as rows stand for an independent one (the design effect: Kish, Survey Sampling, 1965, §8.2), rounded.
    Without `bounds`: `_hall`.
    Simulated coverage at 95 %, 100 rows, and width over t's. Bounded: costs 1 and 5 .97 (t .91) × 1.1, what is gained
    in them .997 (.86) × 1.45; in 20 groups of copies .995 (.77) × 1.6 and 1.00 (.77) × 2. `_hall`: normal .95 (.95)
    × 1.00, exponential .95 (.94) × 1.08, log-normal .95 (.92) × 1.6; with 20 log-normal rows .93 (.87), with 2 rows of
    100 unlike 0 .80 (.68).
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, unit, 0, "t over rows", level=level)
    value = float(values.mean())
    sums: Float[np.ndarray, " units"] = values - value
    units, which = n, np.arange(n)
    if clusters is not None and clustered(clusters, n):
        _, which = np.unique(clusters, return_inverse=True)
        sums = np.bincount(which, weights=sums)
        units = len(sums)
    method = f"t over {'rows' if units == n else 'groups of rows'}"
    spread = float(np.square(sums).sum())
    if units < 2 or spread <= (1e-12 * max(1.0, abs(value))) ** 2 * n:
        return _all_agree(value, units, bounds, unit, method, level)
    se = math.sqrt(units / (units - 1) * spread) / n
    half = float(stats.t.ppf((1 + level) / 2, units - 1)) * se
    low, high = value - half, value + half
    if skewed and bounds is not None:
        copies = max(1, round(spread / float(np.square(values - value).sum())))
        own = np.r_[which, np.repeat([units, units + 1], copies)]
        more = mean(np.r_[values, np.repeat(bounds, copies)], clusters=own, unit=unit, level=level)
        assert more.low is not None
        assert more.high is not None
        low, high, method = more.low, more.high, f"{method}, a row added at either bound"
    elif skewed:
        low, high = _hall(value, sums, se, level)
        method = f"Hall's {method}"
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(value, low, high, unit, units, method, se, units - 1, level)


def _hall(value: float, residuals: Float[np.ndarray, " units"], se: float, level: float) -> tuple[float, float]:
    """Ends of a mean by t without its skewness: T + aT²/3 + a²T³/27 + a/6, with a the units' skewness over √units, is
    t-distributed to second order, and monotone in T = (mean − truth) / se.

    On the degrees of freedom of `satterthwaite`, as large units also make se uncertain: on units − 1 two of the
    log-normal and squared t residuals' intervals in a hundred miss more. Source: Hall, J. R. Statist. Soc. B 54, 1992.
    """
    units = len(residuals)
    a = float((residuals**3).mean() / np.square(residuals).mean() ** 1.5) / math.sqrt(units)
    t = float(stats.t.ppf((1 + level) / 2, satterthwaite(residuals)))

    def untransformed(x: float) -> float:
        return x if abs(a) < 1e-6 else 3 / a * (math.cbrt(1 + a * (x - a / 6)) - 1)

    return value - untransformed(t) * se, value - untransformed(-t) * se


def satterthwaite(residuals: Float[np.ndarray, " units"]) -> float:
    """Degrees of freedom of a variance made of so many independent units' residuals: 2 · variance² / its own variance.

    The latter from the spread of their squares; between 1 and units − 1. Source: Satterthwaite, Biometrics Bulletin 2,
    1946.
    """
    square, units = np.square(residuals), len(residuals)
    spread = float(square.var(ddof=1))
    df = 2 * units * float(square.mean()) ** 2 / spread if spread > 0 else units - 1
    return min(max(df, 1.0), units - 1.0)


def df_of_sum(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances, each (variance, df): (Σv)² / Σ(v²/df).

    0 where no part varies. Source: Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    spread = sum(v * v / df for v, df in parts)
    return sum(v for v, _ in parts) ** 2 / spread if spread > 0 else 0.0


def _all_agree(
    value: float, units: int, bounds: tuple[float, float] | None, unit: str, method: str, level: float
) -> Estimate:
    if bounds is None or units == 0:
        return Estimate(value, None, None, unit, units, f"{method} (all agree: undetermined)", level=level)
    elsewhere = 1 - ((1 - level) / 2) ** (1 / units)
    low = value - elsewhere * (value - bounds[0])
    high = value + elsewhere * (bounds[1] - value)
    return Estimate(value, low, high, unit, units, f"{method} (all agree: bounded)", level=level)


def difference(first: Estimate, second: Estimate, *, unit: str) -> Estimate:
    """first − second for two independent samples: Welch's t with Satterthwaite's degrees of freedom.

    Both need a standard error; otherwise the ends are combined (Zou & Donner's MOVER, Stat. Med. 27, 2008), which
    keeps the asymmetry of exact intervals. Unit: that of the two.
    """
    n = first.n + second.n
    if first.value is None or second.value is None or not (first.determined and second.determined):
        return Estimate(None, None, None, unit, n, "difference of independent samples")
    value = first.value - second.value
    if first.se and second.se and first.df and second.df:
        variances = first.se**2, second.se**2
        se = math.sqrt(sum(variances))
        df = df_of_sum([(variances[0], first.df), (variances[1], second.df)])
        half = float(stats.t.ppf((1 + first.level) / 2, df)) * se
        return Estimate(value, value - half, value + half, unit, n, "Welch t over rows", se, df, first.level)
    assert first.low is not None
    assert first.high is not None
    assert second.low is not None
    assert second.high is not None
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high, unit, n, "MOVER over rows", level=first.level)
