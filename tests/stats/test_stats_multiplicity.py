from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson
from uncork.stats.means import mean
from uncork.stats.multiplicity import alpha_of_opening, at_level, holm, lower_bound, p_value, t_quantile, with_error


def estimate(value: float | None = 3.0, se: float | None = 1.0, df: float | None = 10) -> Estimate:
    return Estimate(value, None, None, "x", 11, "t", se, df)


@pytest.mark.parametrize("family", [1, 3, 20])
def test_lower_bound_by_formula(family: int) -> None:
    assert lower_bound(estimate(), family) == pytest.approx(3 - stats.t.ppf(1 - 0.05 / family, 10))
    normal = lower_bound(replace(estimate(se=2.0, df=None), level=0.9), family)
    assert normal == pytest.approx(3 - 2 * stats.norm.ppf(1 - 0.1 / family))


def test_lower_bound_needs_a_standard_error_and_a_value() -> None:
    assert lower_bound(estimate(se=None), 3) is None
    assert lower_bound(estimate(value=None), 3) is None


@pytest.mark.slow
def test_lower_bounds_of_a_family_hold_together() -> None:
    """8 independent means of 15 rows, 500 draws: all bounds hold in ≥ 95 %, uncorrected they don't. Chance 1e-4."""
    values = np.random.default_rng(0).normal(size=(500, 8, 15))
    found = [[mean(row, unit="x") for row in draw] for draw in values]
    together = sum(all(lower_bound(e, 8) <= 0 for e in draw) for draw in found)
    uncorrected = sum(all(lower_bound(e, 1) <= 0 for e in draw) for draw in found)
    assert accept(together, 500, 0.95)
    assert not accept(uncorrected, 500, 0.95)


def test_p_value_equals_scipys_t_test() -> None:
    values = np.random.default_rng(1).normal(0.4, size=25)
    truth = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert p_value(mean(values, unit="x")) == pytest.approx(truth)
    assert p_value(estimate(1.959964, 1.0, None)) == pytest.approx(0.025, abs=1e-6)
    for unknown in (estimate(se=None), estimate(value=None), estimate(se=0.0)):
        assert p_value(unknown) is None


def test_p_value_and_lower_bound_agree() -> None:
    for value, family in itertools.product(np.linspace(-1, 5, 25), (1, 4)):
        e = estimate(value)
        assert (p_value(e) < 0.05 / family) == (lower_bound(e, family) > 0)


def closed_testing(p: tuple[float, ...], alpha: float) -> tuple[bool, ...]:
    """Holm is the closure of Bonferroni: reject i when every set that holds it has its smallest p ≤ alpha / size."""
    sets = [s for r in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), r)]
    return tuple(all(min(p[j] for j in s) <= alpha / len(s) for s in sets if i in s) for i in range(len(p)))


def test_holm_equals_closed_testing() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 5):
        for _ in range(200):
            p = tuple(np.round(rng.beta(0.3, 3, size), 3))
            assert holm(p, 0.05) == closed_testing(p, 0.05)
    assert holm(()) == ()
    assert holm((0.05,)) == (True,)
    assert holm((0.01, 0.04, 0.03, 0.005)) == (True, False, False, True)  # the textbook example


def test_openings_spend_alpha_in_all() -> None:
    k = 100_000
    spent = sum(alpha_of_opening(i) for i in range(1, k + 1))
    assert spent < 0.05
    assert spent == pytest.approx(0.05 - 0.05 * 6 / math.pi**2 / k, rel=1e-6)  # the tail of Σ 1/k² is about 1/k
    assert alpha_of_opening(1) == pytest.approx(0.0304, abs=1e-4)
    assert alpha_of_opening(2, 0.1) == pytest.approx(0.1 * 6 / (math.pi**2 * 4))


def test_quantiles_are_of_t_or_normal() -> None:
    assert t_quantile(0.975, None) == pytest.approx(1.959964, abs=1e-6)
    assert t_quantile(0.975, 5) == pytest.approx(2.570582, abs=1e-6)


def test_nothing_is_proven_that_the_interval_does_not_show() -> None:
    """A skewed interval, its lower arm three times t's: p is that of its own end, wherever the level is put."""
    skewed = Estimate(3.0, -0.2, 5.0, "x", 50, "t", se=1.0, df=49)
    assert p_value(skewed) > 0.025
    shown = at_level(skewed, 1 - 2 * p_value(skewed))
    assert shown.low == pytest.approx(0.0, abs=1e-9)
    assert lower_bound(skewed, 1) == pytest.approx(at_level(skewed, 0.9).low)
    assert lower_bound(skewed, 7) < 0


def test_exact_intervals_can_be_tested() -> None:
    """At its own level a test and the interval agree: p = 2.5 % where the lower end lies on 0."""
    exact = clopper_pearson(7, 20)
    assert p_value(exact) is None
    shifted = with_error(exact.shifted(-exact.low))
    assert p_value(shifted) == pytest.approx(0.025)
    with_own = Estimate(1.0, 0.0, 2.0, "x", 9, "t", se=0.4, df=8)
    assert with_error(with_own) is with_own
    assert with_error(Estimate(None, None, 2.0, "x", 9, "bound")).se is None
