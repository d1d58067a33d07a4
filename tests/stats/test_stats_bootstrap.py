from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats import bootstrap as module
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


@pytest.mark.parametrize("n", [60, 1500])
def test_equal_to_scipy(n: int) -> None:
    """The same resamples in the same order: BCa at 60, percentile at 1,500."""
    values = np.random.default_rng(0).exponential(size=n)
    method = "BCa" if n == 60 else "percentile"
    rng = np.random.default_rng(0)
    truth = stats.bootstrap((values,), np.mean, n_resamples=999, method=method, batch=1, rng=rng)
    found = of_mean(values)
    assert (found.low, found.high) == pytest.approx(tuple(truth.confidence_interval), rel=1e-9)
    assert found.se == pytest.approx(truth.standard_error)


def test_resamples_are_not_held_at_once() -> None:
    """All indices of 19,000 rows in 999 resamples would be 152 MB; one resample is .15 MB."""
    values = np.random.default_rng(0).normal(size=19_000)
    tracemalloc.start()
    of_mean(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("how", ["raises", "nan"])
@pytest.mark.parametrize(("times", "determined"), [(49, True), (50, False)])
def test_a_figure_may_fail_on_one_resample_in_twenty(how: str, times: int, determined: bool) -> None:
    """5 % of 999 are 49.95. The whole rows come first, then the resamples."""
    values = np.random.default_rng(0).normal(size=1200)
    calls = iter(range(10**6))

    def figure(chosen: np.ndarray) -> float:
        if not 1 <= next(calls) <= times:
            return float(values[chosen].mean())
        if how == "raises":
            raise ValueError("only one class")
        return float("nan")

    found = bootstrap(figure, np.arange(1200), np.random.default_rng(0), unit="x")
    assert found.determined == determined
    assert found.value == pytest.approx(values.mean())
    assert determined or "fails on 50 of 999" in found.method


def test_a_figure_that_fails_on_all_rows_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        bootstrap(lambda chosen: 1 / 0, np.arange(50), np.random.default_rng(0), unit="x")


def test_many_units_take_a_standard_error_of_few_resamples() -> None:
    calls = []
    values = np.random.default_rng(0).normal(size=20_001)
    found = bootstrap(
        lambda chosen: calls.append(0) or values[chosen].mean(),
        np.arange(20_001),
        np.random.default_rng(0),
        unit="x",
    )
    assert len(calls) == 200
    assert (found.method, found.df) == ("normal bootstrap over rows", 198)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 198) * found.se)


@pytest.mark.parametrize("grouped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_normal_interval_covers(monkeypatch: pytest.MonkeyPatch, grouped: bool) -> None:
    """With the limit lowered to 300 units; 400 draws of normal means; exactly .95 up to order 1/n. Chance 1e-4."""
    monkeypatch.setattr(module, "_JACKKNIFE_LIMIT", 10)
    monkeypatch.setattr(module, "_MANY", 299)
    rng = np.random.default_rng(3)
    held = 0
    for i in range(400):
        values = rng.normal(size=300)
        clusters = np.arange(300)
        if grouped:
            values, clusters = np.repeat(values, 3), np.repeat(clusters, 3)
        found = of_mean(values, clusters, seed=i)
        held += found.low <= 0 <= found.high
    assert accept(held, 400, 0.95, exact=True)
