"""Probability integral transforms: distances equal SciPy's, and intervals and nulls hold what they state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.predictive import coverages, inside, kolmogorov, pit_deviation, pit_null


@pytest.mark.parametrize("n", [1, 7, 400])
def test_deviation_is_kolmogorovs(n: int) -> None:
    pit = np.random.default_rng(n).beta(2, 1, n)
    assert pit_deviation(pit).value == pytest.approx(stats.kstest(pit, "uniform").statistic)
    assert kolmogorov(np.stack([pit, pit[::-1]])) == pytest.approx([pit_deviation(pit).value] * 2)


@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_interval_holds_the_populations_distance(power: float) -> None:
    """PIT = U^(1/power): its distribution function is u^power, sup |u^power − u| at power^(−1/(power − 1)). 200 draws
    at n = 60, where the inequality is exact; chance 1e-4 each."""
    at = power ** (-1 / (power - 1)) if power > 1 else 0.0
    truth, rng = at - at**power, np.random.default_rng(0)
    found = [pit_deviation(rng.random(60) ** (1 / power)) for _ in range(200)]
    assert accept(sum(e.low <= truth <= e.high for e in found), 200, 0.95)
    assert all(0 <= e.low <= e.value <= e.high <= 1 for e in found)


def test_null_knows_that_the_scale_was_fitted() -> None:
    """From errors of another scale, fitted and judged apart: means of 200 draws within 4 s.e. (chance 6e-5). With few
    rows to fit on it lies above Kolmogorov's own."""
    rng = np.random.default_rng(0)
    null = pit_null(20, 200, rng, draws=200)
    apart = []
    for _ in range(200):
        e = 7 * rng.standard_normal(220)
        s = np.sqrt(np.mean(e[:20] ** 2))
        apart.append(stats.kstest(e[20:] / s, "norm").statistic)
    assert (np.diff(null) >= 0).all()
    assert abs(null.mean() - np.mean(apart)) < 4 * np.hypot(stats.sem(null), stats.sem(apart))
    assert null.mean() > 1.1 * stats.kstwo.mean(200)
    assert pit_null(10**6, 200, rng, draws=200).mean() == pytest.approx(stats.kstwo.mean(200), rel=0.08)


def test_coverages_are_counted() -> None:
    pit = (np.arange(1000) + 0.5) / 1000
    found = coverages(pit, (0.5, 0.9))
    assert {p: e.value for p, e in found.items()} == {0.5: 0.5, 0.9: 0.9}
    assert (found[0.9].low, found[0.9].high) == pytest.approx(tuple(stats.binomtest(900, 1000).proportion_ci(0.95)))
    assert inside(np.array([0.0, 0.05, 0.5, 0.96]), 0.9).tolist() == [False, True, True, False]


def test_no_rows_are_undetermined() -> None:
    assert not pit_deviation(np.zeros(0)).determined
