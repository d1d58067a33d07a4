from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.binomial import bonett_price, clopper_pearson
from uncork.stats.means import clustered, difference, mean, satterthwaite


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


def test_satterthwaite_by_hand_and_for_normal_residuals() -> None:
    """By hand; of normal residuals the squares' variance is 2 σ⁴, so that df is their number (50,000: s.d. 1.5 %)."""
    square = np.array([1, 1, 36, 2.25])
    by_hand = 2 * 4 * square.mean() ** 2 / square.var(ddof=1)
    assert 1 < by_hand < 3
    assert satterthwaite(np.sqrt(square) * [1, -1, -1, 1]) == pytest.approx(by_hand)
    assert satterthwaite(np.random.default_rng(0).normal(size=50_000)) == pytest.approx(50_000, rel=0.07)
    assert satterthwaite(np.r_[np.zeros(500), 5.0]) == pytest.approx(2, rel=0.01)
    assert satterthwaite(np.ones(7)) == 6


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [3, 8, 60])
def test_halls_ends_are_where_his_cubic_of_t_is_the_t_quantile(n: int, sign: int, level: float) -> None:
    values = sign * np.random.default_rng(n).lognormal(size=n)
    found, plain = mean(values, unit="x", skewed=True, level=level), mean(values, unit="x", level=level)
    assert (found.value, found.se, found.df, found.n) == (plain.value, plain.se, plain.df, plain.n)
    a = stats.skew(values) / np.sqrt(n)
    t = stats.t.ppf((1 + level) / 2, satterthwaite(values - values.mean()))
    for end, wanted in ((found.low, t), (found.high, -t)):
        T = (values.mean() - end) / stats.sem(values)
        assert T + a * T**2 / 3 + a**2 * T**3 / 27 + a / 6 == pytest.approx(wanted)
    assert found.low < found.value < found.high
    assert (found.high - found.value > found.value - found.low) == (sign > 0)


def test_hall_of_symmetrical_values_is_t() -> None:
    half = np.abs(np.random.default_rng(0).normal(size=200))
    values = 3 + np.r_[half, -half]
    found = mean(values, unit="x", skewed=True)
    low, high = stats.t.interval(0.95, satterthwaite(values - 3), 3, stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    plain = mean(values, unit="x")
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), rel=1e-3)
    nearly = mean(np.r_[values, 3.001], unit="x", skewed=True)  # of skewness 0 but for rounding: no jump
    assert (nearly.low, nearly.high) == pytest.approx((found.low, found.high), rel=1e-3)


@pytest.mark.parametrize("bounds", [None, (0.0, 40.0)])
def test_skewed_over_groups(bounds: tuple[float, float] | None) -> None:
    values = np.random.default_rng(0).lognormal(size=30)
    groups = np.arange(30)
    once = mean(values, unit="x", bounds=bounds, skewed=True)
    assert mean(values, clusters=groups, unit="x", bounds=bounds, skewed=True) == once
    copied = mean(np.repeat(values, 9), clusters=np.repeat(groups, 9), unit="x", bounds=bounds, skewed=True)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert not mean(np.ones(9), unit="x", skewed=True).determined
    assert mean(np.ones(9), unit="x", bounds=(0, 1), skewed=True) == mean(np.ones(9), unit="x", bounds=(0, 1))


def test_added_rows_count_by_the_design_effect() -> None:
    """By hand, for 30 correlated groups of 4."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 4)
    values = rng.random(30)[groups] + 0.3 * rng.random(120)
    residuals = values - values.mean()
    effect = np.square(np.bincount(groups, residuals)).sum() / np.square(residuals).sum()
    assert 2.5 < effect < 3.9
    copies = int(effect + 0.5)
    found = mean(values, clusters=groups, unit="x", bounds=(0, 1.3), skewed=True)
    more = np.r_[values, np.zeros(copies), np.full(copies, 1.3)]
    sums = np.bincount(np.r_[groups, [30] * copies, [31] * copies], more - more.mean())
    se = np.sqrt(32 / 31 * np.square(sums).sum()) / len(more)
    half = stats.t.ppf(0.975, 31) * se
    assert (found.low, found.high) == pytest.approx((more.mean() - half, more.mean() + half))


@pytest.mark.parametrize(("mended", "broken"), [(1, 0), (12, 3), (0, 40)])
def test_rows_added_at_the_bounds_of_differences_of_shares_are_bonett_and_prices(mended: int, broken: int) -> None:
    """But for t in place of z, and n + 1 in place of n + 2 in the variance."""
    n = 80
    change = np.r_[np.ones(mended), -np.ones(broken), np.zeros(n - mended - broken)]
    found, truth = mean(change, unit="x", bounds=(-1, 1), skewed=True), bonett_price(mended, broken, n)
    assert found.value == pytest.approx(truth.value)
    assert found.se == pytest.approx(stats.sem(change))
    assert found.low + found.high == pytest.approx(truth.low + truth.high)
    wider = stats.t.ppf(0.975, n + 1) / stats.norm.ppf(0.975) * np.sqrt((n + 2) / (n + 1))
    assert found.high - found.low == pytest.approx(wider * (truth.high - truth.low))


def test_rare_large_rows_are_covered_and_by_t_they_are_not() -> None:
    """Two rows in 100 at 5, one at −1: t holds .82 of 1,000 draws. Wanted ≥ .945. Chance 1e-4."""
    rng = np.random.default_rng(7)
    held = {True: 0, False: 0}
    for _ in range(1000):
        values = rng.choice([5.0, -1.0, 0.0], 100, p=[0.02, 0.01, 0.97])
        for skewed in held:
            e = mean(values, unit="x", bounds=(-5, 5), skewed=skewed)
            held[skewed] += e.low <= 0.09 <= e.high
    assert accept(held[True], 1000, 0.945)
    assert not accept(held[False], 1000, 0.945)


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
