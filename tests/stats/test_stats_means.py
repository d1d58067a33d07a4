from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson
from uncork.stats.means import clustered, difference, mean


@pytest.mark.parametrize("n", [2, 5, 40])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_rows_equal_to_scipy(n: int, level: float) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    found = mean(values, unit="x", level=level)
    low, high = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.se, found.df, found.n) == (pytest.approx(stats.sem(values)), n - 1, n)


def test_clustered_equals_the_formula_by_loops() -> None:
    rng = np.random.default_rng(3)
    clusters = rng.integers(12, size=100) * 7 - 20  # any names, any sizes
    values = rng.normal(size=100) + clusters / 10
    groups = sorted(set(clusters.tolist()))
    total = 0.0
    for g in groups:
        total += sum(values[i] - values.mean() for i in range(100) if clusters[i] == g) ** 2
    se = np.sqrt(len(groups) / (len(groups) - 1) * total) / 100
    found = mean(values, clusters=clusters, unit="x")
    assert found.se == pytest.approx(se)
    assert (found.df, found.n) == (len(groups) - 1, len(groups))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, len(groups) - 1) * se)


def test_copies_of_rows_in_clusters_do_not_shrink_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    once = mean(values, unit="x")
    copied = mean(np.repeat(values, 9), clusters=np.repeat(np.arange(30), 9), unit="x")
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.n == 30


def test_clusters_of_one_row_each_are_rows() -> None:
    values = np.arange(5.0)
    assert not clustered(None, 5)
    assert not clustered(np.array([9, 3, 1, 4, 5]), 5)
    assert clustered(np.array([9, 3, 1, 9, 5]), 5)
    assert mean(values, clusters=np.array([9, 3, 1, 4, 5]), unit="x") == mean(values, unit="x")


def test_all_agree() -> None:
    """Without bounds undetermined. With bounds: what a binary share's exact interval says at 0 of n."""
    values = np.zeros(50)
    assert not mean(values, unit="x").determined
    bounded = mean(values, unit="x", bounds=(0, 1))
    exact = clopper_pearson(0, 50)
    assert (bounded.low, bounded.high) == pytest.approx((exact.low, exact.high))
    inside = mean(np.full(50, 0.25), unit="x", bounds=(-1, 1))
    assert -1 < inside.low < 0.25 < inside.high < 1
    assert inside.se is None
    one_group = mean(np.array([0.0, 1.0]), clusters=np.zeros(2, int), unit="x", bounds=(0, 1))
    assert one_group.low < 0.05
    assert one_group.high > 0.95
    assert mean(np.array([]), unit="x").value is None
    assert not mean(np.array([1.0]), unit="x").determined


def test_rounding_is_not_variation() -> None:
    assert not mean(np.full(1000, 0.1), unit="x").determined
    assert mean(np.r_[0.1, np.full(999, 0.1001)], unit="x").determined


def test_no_interval_beyond_the_bounds() -> None:
    found = mean(np.r_[1.0, np.zeros(20)], unit="x", bounds=(0, 1))
    assert found.low == 0.0
    assert found.high < 1


def test_clustered_mean_covers_and_rows_would_not() -> None:
    """Intra-cluster correlation .5, 30 clusters of 10, 2,000 draws; t with few clusters holds ≥ .95 for normal data.

    Chance of failing correct code: 1e-4.
    """
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(30), 10)
    by_cluster = by_row = 0
    for _ in range(2000):
        values = rng.normal(size=30)[clusters] + rng.normal(size=300)
        by_cluster += abs((e := mean(values, clusters=clusters, unit="x")).value) <= e.high - e.value
        by_row += abs((e := mean(values, unit="x")).value) <= e.high - e.value
    assert accept(by_cluster, 2000, 0.95, exact=True)
    assert not accept(by_row, 2000, 0.95)


@pytest.mark.parametrize(("n", "m"), [(5, 30), (20, 20), (3, 200)])
def test_difference_equals_scipys_welch(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(1, 3, n), rng.normal(0, 1, m)
    found = difference(mean(a, unit="x"), mean(b, unit="x"), unit="x")
    truth = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high))
    assert found.value == pytest.approx(a.mean() - b.mean())


def test_mover_against_newcombe_by_hand() -> None:
    """Newcombe (Stat. Med. 17, 1998) is MOVER on Wilson ends; here the same on Clopper–Pearson ends."""
    first, second = clopper_pearson(56, 70), clopper_pearson(48, 80)
    found = difference(first, second, unit="share")
    value = 56 / 70 - 48 / 80
    assert found.low == pytest.approx(
        value - np.sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    )
    assert found.high == pytest.approx(
        value + np.sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    )
    back = difference(second, first, unit="share")
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(("n", "p", "m", "q"), [(60, 0.05, 200, 0.02), (300, 0.1, 300, 0.1), (40, 0.5, 1000, 0.01)])
def test_mover_covers_exactly_computed(n: int, p: float, m: int, q: float) -> None:
    """Summed over all pairs of counts: no simulation."""
    covered = 0.0
    firsts = {k: clopper_pearson(k, n) for k in range(n + 1) if stats.binom.pmf(k, n, p) > 1e-6}
    seconds = {k: clopper_pearson(k, m) for k in range(m + 1) if stats.binom.pmf(k, m, q) > 1e-6}
    weight = {k: stats.binom.pmf(k, m, q) for k in seconds}
    for k, first in firsts.items():
        held = sum(
            weight[j] for j, s in seconds.items() if (d := difference(first, s, unit="x")).low <= p - q <= d.high
        )
        covered += stats.binom.pmf(k, n, p) * held
    assert covered >= 0.95


def test_difference_with_an_undetermined_one_is_undetermined() -> None:
    unknown = Estimate(0.3, None, None, "x", 3, "none")
    assert not difference(unknown, clopper_pearson(1, 9), unit="x").determined
    assert difference(Estimate(None, None, None, "x", 0, ""), unknown, unit="x").value is None
