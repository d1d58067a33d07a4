from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.bootstrap import bootstrap


def of_mean(values: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0):
    clusters = np.arange(len(values)) if clusters is None else clusters
    return bootstrap(lambda chosen: values[chosen].mean(), clusters, np.random.default_rng(seed), unit="x")


def test_agrees_with_t_on_a_mean() -> None:
    """999 resamples: the s.e. has a Monte Carlo s.d. of 2.2 %, the ends about 4 % of the half width."""
    values = np.random.default_rng(0).normal(size=200)
    found = of_mean(values)
    assert found.se == pytest.approx(stats.sem(values), rel=0.1)
    low, high = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.2 * (high - low) / 2)
    assert found.value == values.mean()
    assert found.method == "BCa bootstrap over rows"


def test_same_seed_same_interval_another_seed_another() -> None:
    values = np.random.default_rng(0).exponential(size=50)
    assert of_mean(values, seed=1) == of_mean(values, seed=1)
    assert of_mean(values, seed=1).low != of_mean(values, seed=2).low


def test_the_unit_is_the_cluster() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    copied = of_mean(np.repeat(values, 8), np.repeat(np.arange(60) * 11, 8))
    assert copied.n == 60
    assert "groups" in copied.method
    assert copied.se == pytest.approx(stats.sem(values), rel=0.12)
    scattered = rng.permutation(480)  # clusters' rows need not be neighbours
    shuffled = of_mean(np.repeat(values, 8)[scattered], np.repeat(np.arange(60) * 11, 8)[scattered])
    assert (shuffled.low, shuffled.high) == pytest.approx((copied.low, copied.high))


def test_too_few_or_no_variation_is_undetermined() -> None:
    assert not of_mean(np.arange(9.0)).determined
    assert of_mean(np.arange(10.0)).determined
    assert not of_mean(np.zeros(40)).determined
    assert not of_mean(np.arange(40.0), np.arange(40) // 5).determined


def test_percentile_above_a_thousand_units() -> None:
    assert of_mean(np.random.default_rng(0).normal(size=1001)).method == "percentile bootstrap over rows"


@pytest.mark.slow
@pytest.mark.parametrize(("n", "wanted"), [(50, 0.92), (200, 0.935)])
def test_covers_a_skewed_mean(n: int, wanted: float) -> None:
    """Exponential values, 600 draws; BCa is second-order only: known to hold about .93 at n = 50. Chance 1e-4."""
    rng = np.random.default_rng(n)
    held = sum((e := of_mean(rng.exponential(size=n), seed=i)).low <= 1 <= e.high for i in range(600))
    assert accept(held, 600, wanted)
