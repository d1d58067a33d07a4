from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.slope import slope


def drawn(rng: np.random.Generator, units: int, each: int, beta: float) -> tuple[np.ndarray, ...]:
    """(x, y, se_x, clusters): true x and scatter are shared in part by a cluster; noise makes up 35 % of x's spread."""
    clusters = np.repeat(np.arange(units), each)
    n = len(clusters)
    true = 0.7 * rng.normal(size=units)[clusters] + 0.7 * rng.normal(size=n)
    se = 0.73 * rng.uniform(0.5, 1.4, n) * 0.98
    y = 2 + beta * true + 0.3 * rng.normal(size=units)[clusters] + 0.3 * rng.normal(size=n)
    return true + se * rng.normal(size=n), y, se, clusters


def test_without_noise_it_is_ordinary_least_squares() -> None:
    """Value as SciPy's. The interval tends to that of linregress where scatter is even (n = 4,000: within 5 %)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    y = 3 * x + rng.normal(size=4000)
    for n in (8, 4000):
        found, truth = slope(x[:n], y[:n], np.zeros(n), unit="ratio"), stats.linregress(x[:n], y[:n])
        assert found.value == pytest.approx(truth.slope)
        assert found.low < truth.slope < found.high
    assert found.se == pytest.approx(truth.stderr, rel=0.05)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * truth.stderr, rel=0.05)


def test_ends_are_where_the_estimating_equation_is_t_from_0() -> None:
    """By loops, at either end: the mean of the units' parts over its standard error is t."""
    x, y, se, clusters = drawn(np.random.default_rng(1), 25, 4, 1.0)
    found = slope(x, y, se, clusters=clusters, unit="ratio")
    for beta in (found.low, found.high):
        parts = np.zeros(25)
        for i in range(100):
            noise = beta * (1 - 1 / 100) * se[i] ** 2
            parts[clusters[i]] += (x[i] - x.mean()) * (y[i] - y.mean() - beta * (x[i] - x.mean())) + noise
        assert abs(parts.mean() / stats.sem(parts)) == pytest.approx(stats.t.ppf(0.975, 24))
    assert (found.n, found.df) == (25, 24)


def test_noise_no_longer_draws_it_to_0() -> None:
    """20,000 pairs, noise as large as the true spread: least squares halves the slope (s.d. of ours .02)."""
    rng = np.random.default_rng(2)
    true = rng.normal(size=20_000)
    x, y = true + rng.normal(size=20_000), true + 0.5 * rng.normal(size=20_000)
    assert stats.linregress(x, y).slope == pytest.approx(0.5, abs=0.03)
    assert slope(x, y, np.ones(20_000), unit="ratio").value == pytest.approx(1, abs=0.09)


@pytest.mark.parametrize(("units", "each", "beta"), [(40, 1, 1.0), (15, 6, 0.7), (30, 3, 0.0)])
def test_covers_where_least_squares_does_not(units: int, each: int, beta: float) -> None:
    """800 draws, of those with an interval; wanted ≥ .93 (simulated .935 to .955). Chance 1e-4.

    Least squares over pairs, which neither corrects for noise nor knows of clusters, covers less than .5.
    """
    rng = np.random.default_rng(units)
    found = []
    plain = 0
    for _ in range(800):
        x, y, se, clusters = drawn(rng, units, each, beta)
        found.append(slope(x, y, se, clusters=clusters, unit="ratio"))
        line = stats.linregress(x, y)
        plain += abs(line.slope - beta) <= stats.t.ppf(0.975, len(x) - 2) * line.stderr
    bounded = [e for e in found if e.determined]
    assert len(bounded) > 600
    assert accept(sum(e.low <= beta <= e.high for e in bounded), len(bounded), 0.93)
    if beta > 0:
        assert not accept(plain, 800, 0.5)


def test_copies_in_clusters_do_not_narrow() -> None:
    x, y, se, _ = drawn(np.random.default_rng(5), 50, 1, 1.0)
    once = slope(x, y, 0 * se, unit="ratio")
    copied = slope(
        np.repeat(x, 7), np.repeat(y, 7), np.zeros(350), clusters=np.repeat(np.arange(50) * 3, 7), unit="ratio"
    )
    assert (copied.value, copied.low, copied.high) == pytest.approx((once.value, once.low, once.high))


def test_undetermined() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=30), rng.normal(size=30)
    assert slope(x[:4], y[:4], np.zeros(4), unit="ratio").value is None
    drowned = slope(x, y, np.full(30, 3.0), unit="ratio")
    assert drowned.value is None
    assert not drowned.determined
    weak = slope(x, y, np.full(30, 0.95 * x.std()), unit="ratio")
    assert weak.value is not None
    assert not weak.determined
    assert not slope(np.ones(9), y[:9], np.zeros(9), unit="ratio").determined
    assert not slope(x, 2 * x, np.zeros(30), unit="ratio").determined
    assert slope(np.array([]), np.array([]), np.array([]), unit="ratio").value is None
