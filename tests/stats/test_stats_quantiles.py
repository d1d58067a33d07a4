from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.quantiles import median, quantile


@pytest.mark.parametrize("n", [*range(6, 40), 99, 300, 1001])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_narrowest_symmetric_pair_that_covers(n: int, level: float) -> None:
    """Coverage of (x_(k), x_(n+1−k)) summed over binomial counts: at least `level`, and k + 1 would be too few."""

    def coverage(k: int) -> float:
        return sum(stats.binom.pmf(b, n, 0.5) for b in range(k, n - k + 1))

    found = median(np.random.default_rng(n).permutation(np.arange(1.0, n + 1)), unit="s", level=level)
    k = int(found.low)
    assert found.high == n + 1 - k
    assert coverage(k) >= level - 1e-12
    assert coverage(k + 1) < level
    assert found.value == (n + 1) / 2


def test_equal_to_scipys_quantile_test() -> None:
    values = np.random.default_rng(0).exponential(size=101)
    found = median(values, unit="s")
    truth = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert (found.low, found.high) == (truth.low, truth.high)


def test_too_few_is_undetermined() -> None:
    for n in range(6):
        assert not median(np.arange(n), unit="s").determined
    assert median(np.array([]), unit="s").value is None
    assert median(np.array([1.0, 3.0]), unit="s").value == 2.0
    assert median(np.arange(6), unit="s").determined


@pytest.mark.parametrize("n", [8, 50])
def test_covers_a_skewed_median(n: int) -> None:
    """Lognormal values, median 1; 2,000 draws, ≥ .95 by construction. Chance 1e-4."""
    values = np.random.default_rng(n).lognormal(sigma=2, size=(2000, n))
    assert accept(sum((e := median(v, unit="s")).low <= 1 <= e.high for v in values), 2000, 0.95)


@pytest.mark.parametrize("q", [0.1, 0.9, 0.99])
def test_any_quantile_is_equal_to_scipys_test(q: float) -> None:
    values = np.random.default_rng(1).exponential(size=500)
    found, truth = quantile(values, q, unit="s"), stats.quantile_test(values, p=q).confidence_interval(0.95)
    assert (found.low, found.high) == (truth.low, truth.high)
    assert found.value == np.quantile(values, q)


def test_a_99th_percentile_has_an_upper_end_from_368_values() -> None:
    """.99^368 is the first below .025."""
    assert quantile(np.arange(368), 0.99, unit="s").high == 367
    few = quantile(np.arange(367), 0.99, unit="s")
    assert few.high is None
    assert few.low is not None
    assert not few.determined
