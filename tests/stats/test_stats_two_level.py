from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.crossed import crossed
from uncork.stats.two_level import resample, two_level, weighted_auc, weighted_rmse


def _mean(values: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0) -> Estimate:
    """The two-level bootstrap of a plain mean of `values` (s, n)."""
    rows = np.arange(values.shape[1]) if clusters is None else clusters
    rng = np.random.default_rng(seed)
    return two_level(lambda w, s: float(w @ values[s] / w.sum()), rows, len(values), rng, unit="x")


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_auc_equals_sklearn(ties: bool) -> None:
    rng = np.random.default_rng(int(ties))
    for _ in range(20):
        score = rng.integers(6, size=60).astype(float) if ties else rng.normal(size=60)
        y, weights = np.tile([0, 1, 1], 20), resample(rng, 60)
        assert weighted_auc(score, y, weights) == pytest.approx(roc_auc_score(y, score, sample_weight=weights))
        real = rng.exponential(size=60)
        assert weighted_auc(score, y, real) == pytest.approx(roc_auc_score(y, score, sample_weight=real))


def test_weighted_auc_by_pairs() -> None:
    score, y, weights = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 1, 0, 1]), np.array([2.0, 1, 3, 0.5])
    won = sum(
        weights[i] * weights[j] * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
        for i in (1, 3)
        for j in (0, 2)
    )
    assert weighted_auc(score, y, weights) == pytest.approx(won / (1.5 * 5))
    assert math.isnan(weighted_auc(score, y, np.array([1.0, 0, 1, 0])))


def test_weighted_rmse_equals_sklearn() -> None:
    rng = np.random.default_rng(2)
    predicted, y, weights = rng.normal(size=50), rng.normal(size=50), rng.exponential(size=50)
    truth = root_mean_squared_error(y, predicted, sample_weight=weights)
    assert weighted_rmse(predicted, y, weights) == pytest.approx(truth)


def test_counts_of_a_resample() -> None:
    counts = resample(np.random.default_rng(0), 500)
    assert counts.sum() == 500
    assert (counts == 0).mean() == pytest.approx(math.exp(-1), abs=0.08)


def test_variance_of_a_mean_by_its_closed_form() -> None:
    """Owen's, with n/(n − 1) and S/(S − 1) where they belong: rows' (n − 1)/n · s²/n, seeds' as below; ± 20 %, which
    399 resamples miss by chance in 1 of 10,000 (fixed seed)."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=200) + 0.1 * rng.normal(size=(8, 1)) + 0.7 * rng.normal(size=(8, 200))
    found = _mean(values)
    assert found.value == pytest.approx(values.mean())
    of_rows = values.mean(axis=0).var() / 200
    apart = values - values.mean(axis=0)
    of_seeds = (values.mean(axis=1).var(ddof=1) + apart.var(axis=1).sum() / 7 / 200) / 8
    assert found.se_seeds**2 == pytest.approx(of_seeds, rel=0.2)
    assert found.se**2 - found.se_seeds**2 == pytest.approx(of_rows, rel=0.2)
    assert found.se >= 0.95 * crossed(values, unit="x").se
    assert (found.n, found.seeds) == (200, 8)
    assert 7 <= found.df <= 199


def test_rows_that_all_behave_alike_leave_a_t_test_of_the_seeds() -> None:
    means = np.random.default_rng(6).normal(size=9)
    found = _mean(np.tile(means[:, None], 30))
    low, high = stats.t.interval(0.95, 8, means.mean(), stats.sem(means))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.se_seeds == pytest.approx(found.se)


def test_copies_of_rows_in_clusters_do_not_shrink_the_interval() -> None:
    values = np.random.default_rng(4).normal(size=(8, 40))
    once = _mean(values)
    copied = _mean(np.repeat(values, 5, axis=1), np.repeat(np.arange(40), 5))
    assert (copied.low, copied.high, copied.n) == (pytest.approx(once.low), pytest.approx(once.high), 40)
    assert "groups of rows × 8 seeds" in copied.method


def test_undetermined_with_the_reason() -> None:
    values = np.random.default_rng(5).normal(size=(8, 40))
    assert "fewer than 8 seeds: undetermined" in (few := _mean(values[:7])).method
    assert (few.value, few.low, few.seeds) == (pytest.approx(values[:7].mean()), None, 7)
    assert "fewer than 10 units" in _mean(values, np.arange(40) // 5).method
    assert "no variation" in _mean(np.full((8, 40), 0.1)).method
    nothing = two_level(lambda w, s: 0.0, np.arange(0), 8, np.random.default_rng(0), unit="x")
    assert (nothing.value, nothing.low) == (None, None)

    def sometimes(weights: np.ndarray, seed: int) -> float:
        if weights[0] == 0:
            raise ZeroDivisionError
        return float(values[seed] @ weights)

    failing = two_level(sometimes, np.arange(40), 8, np.random.default_rng(0), unit="x")
    assert "resamples: undetermined" in failing.method
    with pytest.raises(KeyError):
        two_level(lambda w, s: {}["no"], np.arange(40), 8, np.random.default_rng(0), unit="x")


@pytest.mark.parametrize(("n", "trials"), [(100, 50), (1000, 30)])
def test_covers_a_mean(n: int, trials: int) -> None:
    """Eight seeds, whose part of the s.e. is twice the rows'. Chance of failing correct code: 1e-4 a case."""
    rng, hits = np.random.default_rng(n), 0
    for _ in range(trials):
        values = rng.normal(size=n) + 2 * np.sqrt(8 / n) * rng.normal(size=(8, 1)) + 0.5 * rng.normal(size=(8, n))
        found = _mean(values)
        hits += found.low <= 0 <= found.high
    assert accept(hits, trials, 0.95)


def test_percentiles_would_not_cover_at_eight_seeds() -> None:
    """What the t is for: percentiles of resampled means of 8 normal values cover .89. Chance of failing: 1e-4."""
    rng, hits = np.random.default_rng(7), 0
    for _ in range(2000):
        means = rng.normal(size=8)[rng.integers(8, size=(399, 8))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits += low <= 0 <= high
    assert accept(hits, 2000, 0.886, exact=True)
    assert not accept(hits, 2000, 0.93)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
def test_covers_auc_and_rmse(n: int) -> None:
    """Eight trainings that add a noise of their own size. Chance of failing correct code: 1e-4 a case."""
    rng, trials, auc, rmse = np.random.default_rng(n), 30, 0, 0
    luck = 0.8 + 0.4 * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    area = np.mean(stats.norm.cdf(1.2 / np.sqrt(2 * (1 + luck**2))))
    root = np.mean(np.sqrt(1 + luck**2))
    y = (np.arange(n) < n // 4).astype(int)
    for _ in range(trials):
        noisy = rng.normal(size=n) + (0.8 + 0.4 * rng.normal(size=(8, 1))) * rng.normal(size=(8, n))
        score = noisy + 1.2 * y
        found = two_level(lambda w, s: weighted_auc(score[s], y, w), np.arange(n), 8, rng, unit="AUC")  # noqa: B023
        auc += found.low <= area <= found.high
        found = two_level(lambda w, s: weighted_rmse(noisy[s], 0 * y, w), np.arange(n), 8, rng, unit="RMSE")  # noqa: B023
        rmse += found.low <= root <= found.high
    assert accept(auc, trials, 0.95)
    assert accept(rmse, trials, 0.95)
