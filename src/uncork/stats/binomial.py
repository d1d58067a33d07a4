"""Intervals for a share of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.means import clustered, mean, satterthwaite

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def clopper_pearson(successes: int, n: int, *, unit: str = "share", level: float = 0.95) -> Estimate:
    """Share of successes in the population, exact.

    Unit: one row, independent. Covers at least `level` at every n and share, and is never of zero width.
    Source: Clopper & Pearson, Biometrika 26, 1934. No `se`: the interval is not symmetric.
    """
    if n == 0:
        return Estimate(None, None, None, unit, 0, "Clopper–Pearson over rows", level=level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.ppf(1 - tail, successes + 1, n - successes))
    return Estimate(successes / n, low, high, unit, n, "Clopper–Pearson over rows", level=level)


def share(hit: Bool[np.ndarray, " n"], clusters: Int[np.ndarray, " n"] | None, *, level: float = 0.95) -> Estimate:
    """Share of hits in the population: `clopper_pearson` over rows, `korn_graubard` where `clusters` groups rows."""
    if clusters is not None and clustered(clusters, len(hit)):
        return korn_graubard(hit, clusters, level=level)
    return clopper_pearson(int(hit.sum()), len(hit), level=level)


def korn_graubard(
    hit: Bool[np.ndarray, " n"], clusters: Int[np.ndarray, " n"], *, unit: str = "share", level: float = 0.95
) -> Estimate:
    """Share of hits in the population, of rows that come in groups.

    Clopper–Pearson on the effective number of rows share·(1 − share)/se², cut at n and shrunk by (t over rows / t)²
    with the degrees of freedom of `satterthwaite`: where few groups hold all hits, se itself is hardly known. Near 0 or
    1 it holds where a t interval does not. Simulated coverage at 95 % of 14 designs with 5 to 50 expected hits in 10 to
    300 groups, correlation 0 to .5: .952 to .998, on groups − 1 degrees of freedom .89 to .99, of t .81 to .93.
    Unit: one group, independent. Source: Korn & Graubard, Survey Methodology 24, 1998; degrees of freedom: Valliant &
    Rust, J. Official Statistics 26, 2010.
    """
    clustered = mean(hit, clusters=clusters, unit=unit, bounds=(0.0, 1.0), level=level)
    share, se, df, n = clustered.value, clustered.se, clustered.df, len(hit)
    if share is None or not se or not df:
        return clustered
    _, which = np.unique(clusters, return_inverse=True)
    few = satterthwaite(np.bincount(which, weights=hit - share))
    low, high = effective_ends(share, min(n, share * (1 - share) / se**2), n - 1, few, level)
    method = "Clopper–Pearson over groups of rows (Korn–Graubard)"
    return Estimate(share, low, high, unit, clustered.n, method, se, few, level)


def effective_ends(share: float, rows: float, df_rows: float, df: float, level: float) -> tuple[float, float]:
    """Clopper–Pearson's ends for `share` of an effective number of rows, shrunk by (t over df_rows / t over df)²."""
    tail = (1 - level) / 2
    rows *= float(stats.t.ppf(1 - tail, df_rows) / stats.t.ppf(1 - tail, df)) ** 2
    hits = share * rows
    low = float(stats.beta.ppf(tail, hits, rows - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, rows - hits)) if hits < rows else 1.0
    return low, high


def wilson(successes: int, n: int, *, unit: str = "share", level: float = 0.95) -> Estimate:
    """Share of successes in the population, approximate: shorter than Clopper–Pearson, covers on average.

    Unit: one row, independent. Source: Wilson, JASA 22, 1927.
    """
    if n == 0:
        return Estimate(None, None, None, unit, 0, "Wilson over rows", level=level)
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, unit, n, "Wilson over rows", level=level)


def bonett_price(only_first: int, only_second: int, n: int, *, unit: str = "share", level: float = 0.95) -> Estimate:
    """Difference of two shares measured on the same rows: P(first) − P(second).

    `only_first`, `only_second`: rows on which one holds and the other doesn't. Unit: one row, independent.
    An adjusted Wald interval: one is added to each discordant count, so that no discordant pair does not mean
    no uncertainty. Source: Bonett & Price, Statistics in Medicine 31, 2012.
    """
    if n == 0:
        return Estimate(None, None, None, unit, 0, "Bonett–Price over paired rows", level=level)
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    centre = first - second
    se = math.sqrt((first + second - centre * centre) / (n + 2))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    value = (only_first - only_second) / n
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Estimate(value, low, high, unit, n, "Bonett–Price over paired rows", se, None, level)
