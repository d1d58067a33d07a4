from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.means import mean
from uncork.stats.multiplicity import lower_bound
from uncork.stats.power import detectable, rows_to_settle, seeds_to_settle


def estimate(value: float | None = 3.0, se: float | None = 1.0, df: float | None = None, n: int = 100) -> Estimate:
    return Estimate(value, None, None, "x", n, "t", se, df)


def of_two(rows: np.ndarray | float, seeds: np.ndarray | float, n: int, s: int) -> np.ndarray:
    """The d.f. whose t quantile is the rows' and seeds' own, weighted by their variances."""
    t = (rows * stats.t.ppf(0.975, n - 1) + seeds * stats.t.ppf(0.975, s - 1)) / (rows + seeds)
    return special.stdtridf(0.975, t)


def of_seeds(value: float, *, rows: float, seeds: float, n: int = 400, s: int = 3) -> Estimate:
    """A figure whose rows' and seeds' parts have these s.e."""
    se, df = float(np.hypot(rows, seeds)), float(of_two(rows**2, seeds**2, n, s))
    return Estimate(value, None, None, "x", n, "t", se, df, seeds=s, se_seeds=seeds)


def settled(value: float, delta: float, family: int, *, rows: float, seeds: float, n: int, s: int) -> int:
    """Of 2,000 draws with the unit errors `rows` and `seeds`, how many get the verdict that `value` deserves."""
    rng = np.random.default_rng(0)
    parts = rows**2 / n * rng.chisquare(n - 1, 2000) / (n - 1), seeds**2 / s * rng.chisquare(s - 1, 2000) / (s - 1)
    se = np.sqrt(sum(parts))
    df = of_two(*parts, n, s)
    found = value + rng.normal(0, np.hypot(rows / n**0.5, seeds / s**0.5), 2000)
    if value < delta:
        return int(np.sum(found + stats.t.ppf(0.975, df) * se < delta))
    return int(np.sum(found - stats.t.ppf(1 - 0.05 / max(2, family), df) * se > delta))


@pytest.mark.parametrize("family", [1, 2, 3, 10])
def test_detectable_by_formula(family: int) -> None:
    """Normal: two quantiles. t: the noncentral t at the truth exceeds the stricter critical value in 80 %."""
    tail = min(0.05 / 2, 0.05 / family)
    expected = 5 + 2 * (stats.norm.ppf(1 - tail) + 0.841621)
    assert detectable(estimate(se=2.0), 5, family) == pytest.approx(expected, abs=1e-4)
    for df in (2, 7, 60):
        ncp = (detectable(estimate(se=2.0, df=df), 5, family) - 5) / 2
        assert stats.nct.sf(stats.t.ppf(1 - tail, df), df, ncp) == pytest.approx(0.8, abs=1e-5)
    assert detectable(estimate(se=None), 5, family) is None


@pytest.mark.parametrize("rows", [4, 60])
@pytest.mark.parametrize("family", [1, 4])
def test_what_is_called_detectable_is_proven_in_four_of_five(family: int, rows: int) -> None:
    """1,000 draws of rows whose true mean is what `detectable` says at the true s.e.: proven by the verdict and by the
    corrected bound in 80 %, two-sided region, chance 1e-4 a side."""
    rng = np.random.default_rng(family)
    truth = detectable(estimate(se=2 / np.sqrt(rows), df=rows - 1), 1.0, family)
    found = [mean(rng.normal(truth, 2, rows), unit="x") for _ in range(1000)]
    proven = sum(e.low > 1.0 and lower_bound(e, family) > 1.0 for e in found)
    assert accept(proven, 1000, 0.8, exact=True)


@pytest.mark.parametrize(("value", "family"), [(1.5, 1), (1.5, 3), (0.5, 3)])
def test_rows_to_settle_settles(value: float, family: int) -> None:
    """With that many rows the verdict falls in ≥ 80 % of 1,000 draws (chance 1e-4), with half it does not.

    Below δ it is the interval alone that clears: the family does not matter.
    """
    rng = np.random.default_rng(0)
    n = rows_to_settle(estimate(value=value, se=2 / np.sqrt(60), df=59, n=60), 1.0, family)
    assert n > 60

    def proven(rows: int) -> int:
        found = [mean(rng.normal(value, 2, rows), unit="x") for _ in range(1000)]
        if value < 1:
            return sum(e.high < 1.0 for e in found)
        return sum(e.low > 1.0 and lower_bound(e, family) > 1.0 for e in found)

    assert accept(proven(n), 1000, 0.8)
    assert not accept(proven(n // 2), 1000, 0.8)


@pytest.mark.parametrize(("value", "family"), [(12.0, 1), (20.0, 10), (-2.0, 10)])
def test_rows_to_settle_beside_seeds(value: float, family: int) -> None:
    """Rows shrink the rows' part alone: the verdict falls in 80 % of 2,000 draws, with half as many it does not.

    Few seeds make the d.f. vary from draw to draw, which may cost a little: the region is for .78.
    """
    n = rows_to_settle(of_seeds(value, rows=5.0, seeds=1.15), 5.0, family)
    assert n is not None
    assert accept(settled(value, 5.0, family, rows=100.0, seeds=1.15 * 3**0.5, n=n, s=3), 2000, 0.78)
    assert not accept(settled(value, 5.0, family, rows=100.0, seeds=1.15 * 3**0.5, n=n // 2, s=3), 2000, 0.78)


@pytest.mark.parametrize(("value", "family", "found"), [(15.0, 1, 3), (14.0, 10, 5), (-5.0, 10, 3)])
def test_seeds_to_settle_settles(value: float, family: int, found: int) -> None:
    """As with rows: 80 % of 2,000 draws at that many seeds (region for .78), not at half as many."""
    s = seeds_to_settle(of_seeds(value, rows=2.0, seeds=6 / found**0.5, s=found), 5.0, family)
    assert s > found
    assert accept(settled(value, 5.0, family, rows=40.0, seeds=6.0, n=400, s=s), 2000, 0.78)
    assert not accept(settled(value, 5.0, family, rows=40.0, seeds=6.0, n=400, s=max(2, s // 2)), 2000, 0.78)


def test_seeds_to_settle_by_formula() -> None:
    """Normal throughout: (ν · s)² · S / ((value − δ)² − (ν · rows)²) with ν = z.975 + z.8, to 1 %."""
    nu = 1.959964 + 0.841621
    wanted = (nu * 4.0) ** 2 * 50 / ((10.0 - 5.0) ** 2 - nu**2)
    found = Estimate(10.0, None, None, "x", 400, "t", np.hypot(1.0, 4.0), None, seeds=50, se_seeds=4.0)
    assert seeds_to_settle(found, 5.0, 1) == pytest.approx(wanted, rel=0.01)
    rows = 400 * nu**2 / ((20.0 - 5.0) ** 2 - (nu * 4.0) ** 2)
    assert rows_to_settle(replace(found, value=20.0), 5.0, 1) == max(400, round(rows))
    rows = 400 * (nu * 4.0) ** 2 / ((10.0 - 5.0) ** 2 - nu**2)
    assert rows_to_settle(replace(found, se_seeds=1.0), 5.0, 1) == pytest.approx(rows, rel=0.01)


def test_more_of_one_does_not_mend_the_other() -> None:
    """The seeds' part alone is too large for rows to settle it, and the other way round; both, or no seeds: None."""
    seedy, rowy, both = (of_seeds(12.0, rows=r, seeds=s, s=5) for r, s in ((0.5, 4.0), (4.0, 0.5), (4.0, 4.0)))
    assert rows_to_settle(seedy, 5.0, 3) is None
    assert seeds_to_settle(seedy, 5.0, 3) > 5
    assert seeds_to_settle(rowy, 5.0, 3) is None
    assert rows_to_settle(rowy, 5.0, 3) > 400
    assert (rows_to_settle(both, 5.0, 3), seeds_to_settle(both, 5.0, 3)) == (None, None)
    assert seeds_to_settle(replace(seedy, se_seeds=None), 5.0, 3) is None
    assert seeds_to_settle(replace(seedy, seeds=None), 5.0, 3) is None
    assert seeds_to_settle(replace(seedy, value=None), 5.0, 3) is None
    assert seeds_to_settle(replace(seedy, value=5.0), 5.0, 3) is None


def test_train_sets_drawn_again_are_not_seeds() -> None:
    """Complementary halves: a part that rows don't shrink, and no seeds that would. Over the halves alone, no rows."""
    halves = replace(of_seeds(12.0, rows=4.0, seeds=0.5, s=5), seeds=None)
    assert rows_to_settle(halves, 5.0, 3) == rows_to_settle(replace(halves, seeds=5), 5.0, 3)
    assert seeds_to_settle(halves, 5.0, 3) is None
    assert rows_to_settle(Estimate(12.0, None, None, "x", 4, "t", 3.0, 4, se_seeds=3.0), 5.0, 3) is None


def test_seeds_to_settle_is_monotone() -> None:
    nearer = [seeds_to_settle(of_seeds(v, rows=0.2, seeds=4.0, s=4), 5.0, 3) for v in (25, 15, 10, 8, 6)]
    assert nearer == sorted(nearer)
    noisier = [seeds_to_settle(of_seeds(9.0, rows=0.2, seeds=s, s=4), 5.0, 3) for s in (1.5, 2, 4, 8)]
    assert noisier == sorted(noisier)


def test_rows_to_settle_is_monotone() -> None:
    nearer = [rows_to_settle(estimate(value=v), 2.0, 3) for v in (9, 6, 4, 3, 2.5, 2.1)]
    assert nearer == sorted(nearer)
    below = [rows_to_settle(estimate(value=v), 2.0, 3) for v in (-5, 0, 1, 1.9)]
    assert below == sorted(below)
    wider = [rows_to_settle(estimate(se=s), 2.0, 3) for s in (0.1, 0.5, 1, 3)]
    assert wider == sorted(wider)
    larger_family = [rows_to_settle(estimate(), 2.0, m) for m in (1, 2, 5, 20)]
    assert larger_family == sorted(larger_family)
    assert larger_family[0] == larger_family[1]
    assert larger_family[0] == pytest.approx(100 * (1.959964 + 0.841621) ** 2, rel=0.01)


def test_rows_to_settle_is_none_where_there_is_no_answer() -> None:
    assert rows_to_settle(estimate(value=2.0), 2.0, 3) is None
    assert rows_to_settle(estimate(se=None), 2.0, 3) is None
    assert rows_to_settle(estimate(value=None, se=None, n=0), 2.0, 3) is None
    assert rows_to_settle(Estimate(None, 0, 1, "x", 9, "bounds", 1.0), 2.0, 3) is None
