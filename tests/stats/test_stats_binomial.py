from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.binomial import bonett_price, clopper_pearson, korn_graubard, wilson
from uncork.stats.means import mean

CASES = [(k, n) for n in (1, 2, 7, 30, 400) for k in sorted({0, 1, n // 3, n - 1, n})]


@pytest.mark.parametrize(("k", "n"), CASES)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.998])
def test_equal_to_scipy(k: int, n: int, level: float) -> None:
    for ours, name in ((clopper_pearson, "exact"), (wilson, "wilson")):
        found = ours(k, n, level=level)
        truth = stats.binomtest(k, n).proportion_ci(level, method=name)
        assert (found.low, found.high) == pytest.approx((truth.low, truth.high), abs=1e-12)
        assert found.value == k / n
        assert (found.n, found.level) == (n, level)


@pytest.mark.parametrize(("k", "n"), CASES)
def test_never_of_zero_width_and_inside_0_1(k: int, n: int) -> None:
    for found in (clopper_pearson(k, n), wilson(k, n)):
        assert 0 <= found.low < found.high <= 1
        assert found.low <= found.value <= found.high


def test_without_rows_nothing_is_known() -> None:
    for found in (clopper_pearson(0, 0), wilson(0, 0), bonett_price(0, 0, 0)):
        assert found.value is None
        assert not found.determined


@pytest.mark.parametrize(("n", "share"), [(20, 0.02), (50, 0.1), (100, 0.5), (300, 0.99)])
def test_clopper_pearson_covers_exactly_computed(n: int, share: float) -> None:
    """No simulation: the chance of every count is summed."""
    k = np.arange(n + 1)
    held = [(e := clopper_pearson(int(i), n)).low <= share <= e.high for i in k]
    assert stats.binom.pmf(k, n, share)[held].sum() >= 0.95


def test_bonett_price_worked_by_hand() -> None:
    """b = 6, c = 1, n = 20: p̃₁₂ = 7/22, p̃₂₁ = 2/22, s.e.² = (p̃₁₂ + p̃₂₁ − (p̃₁₂ − p̃₂₁)²) / 22."""
    found = bonett_price(6, 1, 20)
    se = math.sqrt((9 / 22 - 25 / 484) / 22)
    assert found.value == pytest.approx(0.25)
    assert found.low == pytest.approx(5 / 22 - 1.959964 * se, abs=1e-6)
    assert found.high == pytest.approx(5 / 22 + 1.959964 * se, abs=1e-6)
    assert found.se == pytest.approx(se)


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_bonett_price_edges(n: int) -> None:
    for b, c in ((0, 0), (n, 0), (0, n), (n // 2, n - n // 2)):
        found, mirrored = bonett_price(b, c, n), bonett_price(c, b, n)
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.high - found.low > 0
        assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low))


@pytest.mark.parametrize(
    ("n", "first", "second"), [(50, 0.1, 0.05), (100, 0.02, 0.02), (300, 0.08, 0.03), (2000, 0.01, 0.004)]
)
def test_bonett_price_covers(n: int, first: float, second: float) -> None:
    """The exact coverage, summed over all tables: Bonett & Price report .94 and up; wanted here ≥ .94."""
    b = np.arange(n + 1)
    b = b[stats.binom.pmf(b, n, first) > 1e-9]
    covered = 0.0
    for i in b:
        c = np.arange(n - i + 1)
        weight = stats.binom.pmf(i, n, first) * stats.binom.pmf(c, n - i, second / (1 - first))
        for j in c[weight > 1e-10]:
            found = bonett_price(int(i), int(j), n)
            covered += weight[j] * (found.low <= first - second <= found.high)
    assert covered >= 0.94


def test_wilson_covers_on_average_over_shares() -> None:
    """Averaged over shares .05–.95 at n = 40, where its mean coverage is .95. 4,000 draws, chance 1e-4 a side."""
    rng = np.random.default_rng(1)
    shares = rng.uniform(0.05, 0.95, 4000)
    held = sum((e := wilson(int(rng.binomial(40, p)), 40)).low <= p <= e.high for p in shares)
    assert accept(held, 4000, 0.95, exact=True)


def test_korn_graubard_by_formula_and_for_rows() -> None:
    """G groups that agree within are G rows (up to the s.e.'s n − 1); and by the formula, worked here apart."""
    hit = np.arange(40) < 16
    copied, clusters = np.repeat(hit, 25), np.repeat(np.arange(40), 25)
    found = korn_graubard(copied, clusters, unit="share")
    exact = clopper_pearson(16, 40)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)
    plain = mean(copied, clusters=clusters, unit="share")
    assert (found.value, found.se, found.df, found.n) == (plain.value, plain.se, plain.df, plain.n)
    rows = 39 * (stats.t.ppf(0.975, 999) / stats.t.ppf(0.975, 39)) ** 2
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 0.4 * rows, 0.6 * rows + 1))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 0.4 * rows + 1, 0.6 * rows))
    nowhere, groups = np.zeros(9, bool), np.arange(9) // 3
    assert korn_graubard(nowhere, groups) == mean(nowhere, clusters=groups, unit="share", bounds=(0, 1))


@pytest.mark.parametrize(
    ("groups", "each", "share", "correlation"),
    [(100, 10, 0.02, 0.17), (100, 10, 0.005, 0.17), (30, 10, 0.02, 0.3), (10, 10, 0.1, 0.5), (10, 50, 0.1, 0.17)],
)
def test_korn_graubard_covers_rare_errors_in_groups(groups: int, each: int, share: float, correlation: float) -> None:
    """Beta-binomial, 5 to 50 hits in all: ≥ .95 where t holds .81 to .90. 600 draws, chance 1e-4.

    Draws without a hit have no s.e.; they are bounded as `mean` does, and count.
    """
    rng = np.random.default_rng(groups)
    clusters = np.repeat(np.arange(groups), each)
    size = 1 / correlation - 1
    held = plain = 0
    for _ in range(600):
        wrong = rng.random(groups * each) < rng.beta(share * size, (1 - share) * size, groups)[clusters]
        found, t = korn_graubard(wrong, clusters), mean(wrong, clusters=clusters, unit="share")
        held += found.low <= share <= found.high
        plain += t.determined and t.low <= share <= t.high
    assert accept(held, 600, 0.95)
    assert not accept(plain, 600, 0.95)
