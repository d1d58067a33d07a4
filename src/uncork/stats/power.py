"""What these rows and seeds could have shown, and how many of either would settle it.

Assumed: the error that was found is the true one, the figure is normal about its truth, and rows' and seeds' parts of
the error shrink by 1/√n each on its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    Many = Float[np.ndarray, " n"]

POWER = 0.8
_MORE = np.geomspace(1, 1e4, 1000)  # how many times as many are tried, in steps of 1 %


def detectable(estimate: Estimate, delta: float, family: int) -> float | None:
    """The smallest true headroom that these rows and seeds would prove above δ with probability .8.

    Proven: by its own two-sided interval and by the bound corrected for the family. δ + ν · se with ν the
    noncentrality at which t exceeds the stricter critical value so often (Owen, J. Amer. Statist. Assoc. 60, 1965):
    with few d.f. the s.e. varies too, and t + z.₈ promises too much. None without a standard error.
    """
    if estimate.se is None:
        return None
    return delta + float(_noncentrality(_alpha(estimate, family), _df(estimate.df))) * estimate.se


def rows_to_settle(estimate: Estimate, delta: float, family: int) -> int | None:
    """Rows (or groups), with the seeds there are, at which a headroom of the size found gets a verdict.

    With probability .8: above δ both ways that `detectable` names, below δ by its own interval. To 1 %. None where it
    sits on δ, has no standard error or no rows, or the seeds' part of the error alone is too large.
    """
    if not estimate.n:
        return None
    counts = np.ceil(estimate.n * _MORE)
    return _fewest(counts, _settled(estimate, delta, family, rows=counts / estimate.n))


def seeds_to_settle(estimate: Estimate, delta: float, family: int) -> int | None:
    """Training seeds, on the rows there are, at which a headroom of the size found gets a verdict.

    As `rows_to_settle`. None where no part of the error is known to be the seeds', or the rows' part alone is too
    large.
    """
    if not estimate.seeds or not estimate.se_seeds:
        return None
    counts = np.ceil(estimate.seeds * _MORE)
    return _fewest(counts, _settled(estimate, delta, family, seeds=counts / estimate.seeds))


def _fewest(counts: Many, settled: Bool[np.ndarray, " n"]) -> int | None:
    return int(counts[settled.argmax()]) if settled.any() else None


def _settled(
    estimate: Estimate, delta: float, family: int, *, rows: Many | float = 1.0, seeds: Many | float = 1.0
) -> Bool[np.ndarray, " n"]:
    """Whether `rows` and `seeds` times as many would do."""
    if estimate.value is None or not estimate.se:
        return np.zeros(1, dtype=bool)
    se, df = _planned(estimate, estimate.se, rows, seeds)
    alpha = _alpha(estimate, family if estimate.value > delta else 1)
    settled: Bool[np.ndarray, " n"] = abs(estimate.value - delta) > _noncentrality(alpha, df) * se
    return settled


def _planned(estimate: Estimate, se: float, rows: Many | float, seeds: Many | float) -> tuple[Many, Many]:
    """Standard error and d.f. with `rows` and `seeds` times as many.

    The quantile is that of `crossed`: the parts' own weighted by their variances (Cochran & Cox, Experimental Designs,
    1957, §4.14). Rows having n − 1 d.f., what was found tells the seeds': so a variance moderated by other arms keeps
    its d.f., and each further seed adds one.
    """
    df, of_seeds = _df(estimate.df), min(estimate.se_seeds or 0.0, se) ** 2
    if not of_seeds:
        return np.asarray(se / np.sqrt(rows)), np.asarray(df * rows)
    p, of_rows, df_rows = (1 + estimate.level) / 2, se**2 - of_seeds, max(estimate.n - 1.0, 1.0)
    t_seeds = (special.stdtrit(df, p) * se**2 - special.stdtrit(df_rows, p) * of_rows) / of_seeds
    df_seeds = max(float(special.stdtridf(p, t_seeds)), 1.0) + (estimate.seeds or 0) * (seeds - 1)
    a, b = np.asarray(of_rows / rows), np.asarray(of_seeds / seeds)
    t = (a * special.stdtrit(df_rows * rows, p) + b * special.stdtrit(df_seeds, p)) / (a + b)
    return np.sqrt(a + b), special.stdtridf(p, t)


def _alpha(estimate: Estimate, family: int) -> float:
    """One side's error: the stricter of a two-sided interval and a one-sided bound corrected for the family."""
    return (1 - estimate.level) / max(2, family)


def _df(df: float | None) -> float:
    return math.inf if df is None else df


def _noncentrality(alpha: float, df: Many | float) -> Many:
    """How many standard errors from δ the truth must be for t to exceed its critical value in POWER of cases."""
    nu: Many = special.nctdtrinc(df, 1 - POWER, special.stdtrit(df, 1 - alpha))
    return nu
