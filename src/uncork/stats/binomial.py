"""Intervals for a share of independent rows."""

from __future__ import annotations

import math

from scipy import stats

from uncork.schema.finding import Estimate


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


def korn_graubard(clustered: Estimate, n: int) -> Estimate:
    """A share of rows that come in groups, from its mean and s.e. over groups.

    Clopper–Pearson on the effective number of rows share·(1 − share)/se², cut at n and shrunk by (t over rows / t over
    groups)². Near 0 or 1 it holds where a t interval does not: 2 % in 100 groups of 10, .95 against .90 simulated; with
    5 or so errors in all still .92. Unit: one group, independent.
    Source: Korn & Graubard, Survey Methodology 24, 1998.
    """
    share, se, df, level = clustered.value, clustered.se, clustered.df, clustered.level
    if share is None or not se or not df or n < 2:
        return clustered
    tail = (1 - level) / 2
    shrink = float(stats.t.ppf(1 - tail, n - 1) / stats.t.ppf(1 - tail, df)) ** 2
    rows = min(n, share * (1 - share) / se**2) * shrink
    hits = share * rows
    low = float(stats.beta.ppf(tail, hits, rows - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, rows - hits)) if hits < rows else 1.0
    method = "Clopper–Pearson over groups of rows (Korn–Graubard)"
    return Estimate(share, low, high, clustered.unit, clustered.n, method, se, df, level)


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
