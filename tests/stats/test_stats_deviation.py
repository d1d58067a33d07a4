"""Spread between trainings and the next one: closed forms, SciPy's two-sample t, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.crossed import SeedVariance
from uncork.stats.deviation import deviation, magnitude, one_more


def test_deviation_of_three_seeds_by_hand() -> None:
    """Values 1, 2, 3: s = 1. χ² on 2 d.f. has quantiles −2 log(1 − p)."""
    found = deviation(np.array([1.0, 2.0, 3.0]), unit="x")
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(np.sqrt(2 / (-2 * np.log(0.025))))
    assert found.high == pytest.approx(np.sqrt(2 / (-2 * np.log(0.975))))
    assert (found.n, found.seeds) == (3, 3)


def test_deviation_that_nothing_is_known_of() -> None:
    for values in ([], [3.0], [100.0, 100.0, 100.0]):
        found = deviation(np.array(values), unit="x")
        assert (found.low, found.high) == (None, None)
        assert "undetermined" in found.method


def test_next_training_is_the_two_sample_t_with_one_on_the_other_side() -> None:
    values, new = np.array([3.0, 5.0, 4.5, 6.1]), 9.0
    found = one_more(values, unit="x").shifted(-new)
    reference = stats.ttest_ind(values, [new], equal_var=True)
    ends = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert found.value / found.se == pytest.approx(reference.statistic)
    assert found.df == reference.df == 3


def test_a_variance_known_otherwise() -> None:
    found = one_more(np.array([2.0, 2.0, 2.0]), unit="x", between=SeedVariance(0.75, 10))
    assert found.high - 2 == pytest.approx(stats.t.ppf(0.975, 10) * 1.0)
    assert one_more(np.array([2.0, 2.0, 2.0]), unit="x").low is None
    free, cut = (one_more(np.array([1.0, 4.0]), unit="x", bounds=bounds) for bounds in ((-99.0, 99.0), (0.0, 10.0)))
    assert free.low < 0.0 == cut.low
    assert free.high > 10.0 == cut.high
    assert one_more(np.array([2.0]), unit="x").low is None


@pytest.mark.parametrize(
    ("low", "value", "high", "wanted"),
    [(-3.0, -2.0, -1.0, (1, 2, 3)), (1.0, 2.0, 3.0, (1, 2, 3)), (-1.0, 2.0, 5.0, (0, 2, 5)), (-5.0, 1, 2, (0, 1, 5))],
)
def test_magnitude_is_that_of_every_figure_in_the_interval(
    low: float, value: float, high: float, wanted: tuple[float, ...]
) -> None:
    found = magnitude(Estimate(value, low, high, "x", 9, "t", se=1.0, df=8, se_seeds=0.5))
    inside = np.abs(np.linspace(low, high, 100_001))
    assert (found.low, found.value, found.high) == wanted
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=1e-4)
    assert (found.se, found.df, found.se_seeds) == (None, None, None)


def test_magnitude_of_what_is_undetermined() -> None:
    found = magnitude(Estimate(-2.0, None, 3.0, "x", 9, "t"))
    assert (found.value, found.low, found.high) == (2, None, None)


def test_both_cover() -> None:
    """3 seeds of a normal figure. At a true 95 %, 2,000 intervals cover less often than the region's end with a chance
    of 1 in 1,000 each (fixed seeds)."""
    rng = np.random.default_rng(0)
    of_spread = of_next = 0
    for _ in range(2000):
        *known, new = rng.normal(5, 2, size=4)
        spread, following = deviation(np.array(known), unit="x"), one_more(np.array(known), unit="x")
        of_spread += spread.low <= 2 <= spread.high
        of_next += following.low <= new <= following.high
    assert min(of_spread, of_next) >= stats.binom.ppf(1e-3, 2000, 0.95)
    assert max(of_spread, of_next) <= stats.binom.ppf(1 - 1e-3, 2000, 0.95)
