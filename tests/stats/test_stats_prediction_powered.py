from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.binomial import clopper_pearson
from uncork.stats.prediction_powered import prediction_powered_share


def drawn(
    rng: np.random.Generator, share: float, kind: str, n: int = 100, others: int = 2000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(truth, predicted, predicted elsewhere) of n rows and others; `kind`: how good the predictions are."""
    size = 0.15 if kind in ("sharp", "half blind") else 1.0
    chance = rng.beta(share * size, (1 - share) * size, n + others)
    truth = rng.random(n + others) < chance
    predicted = chance
    if kind == "half blind":
        truth = np.where(rng.random(n + others) < 0.5, rng.random(n + others) < share, truth)
    if kind == "overstated":
        predicted = np.sqrt(chance)
    if kind == "useless":
        predicted = rng.permutation(chance)
    return truth[:n], predicted[:n], predicted[n:]


def test_equal_to_the_closed_forms() -> None:
    truth, f, elsewhere = drawn(np.random.default_rng(0), 0.3, "sharp")
    classic = prediction_powered_share(truth, f, elsewhere, weight=0.0)
    assert (classic.value, classic.se) == pytest.approx((truth.mean(), stats.sem(truth)))
    first = prediction_powered_share(truth, f, elsewhere, weight=1.0)
    assert first.value == pytest.approx(elsewhere.mean() + (truth - f).mean())
    variance = np.var(truth - f, ddof=1) / len(truth) + np.var(elsewhere, ddof=1) / len(elsewhere)
    assert first.se == pytest.approx(np.sqrt(variance))
    usual = np.median(f)
    missed = np.r_[truth - f - (truth - f).mean(), max(1 - usual, usual)]
    square = missed**2
    assert first.df == pytest.approx(2 * 101 * square.mean() ** 2 / square.var(ddof=1))
    rows = first.value * (1 - first.value) / (variance + missed[-1] ** 2 / (100 * 99))
    rows *= (stats.t.ppf(0.975, 99) / stats.t.ppf(0.975, first.df)) ** 2
    assert first.low == pytest.approx(stats.beta.ppf(0.025, first.value * rows, (1 - first.value) * rows + 1))
    assert first.high == pytest.approx(stats.beta.ppf(0.975, first.value * rows + 1, (1 - first.value) * rows))


def test_the_weight_is_of_least_variance() -> None:
    """PPI++ §6: λ = Cov(truth, f) / ((1 + n/N) Var f), in [0, 1], found again by search over λ."""
    for seed in range(5):
        truth, f, elsewhere = drawn(np.random.default_rng(seed), 0.3, "overstated", n=300)
        tuned = prediction_powered_share(truth, f, elsewhere)
        grid = [prediction_powered_share(truth, f, elsewhere, weight=w).se for w in np.linspace(0, 1, 51)]
        assert tuned.se <= 1.01 * min(grid)
    truth, f, elsewhere = drawn(np.random.default_rng(0), 0.3, "sharp")
    against = prediction_powered_share(truth, 1 - f, 1 - elsewhere)
    plain = clopper_pearson(int(truth.sum()), 100)
    assert against == plain  # predictions that point the wrong way are left out
    assert prediction_powered_share(truth, np.full(100, 0.3), np.full(2000, 0.3)) == plain


def test_good_predictions_narrow_and_none_widen() -> None:
    """Width over that of the n = 150 rows alone at 10 % true, on average over 50 draws; never above it."""
    rng = np.random.default_rng(1)
    for kind, at_most in (("sharp", 0.65), ("vague", 0.85), ("useless", 1.0)):
        ratios = []
        for _ in range(50):
            truth, f, elsewhere = drawn(rng, 0.1, kind, n=150)
            found, plain = prediction_powered_share(truth, f, elsewhere), clopper_pearson(int(truth.sum()), 150)
            ratios.append((found.high - found.low) / (plain.high - plain.low))
        assert np.mean(ratios) <= at_most
        assert max(ratios) <= 1


def test_too_rare_or_too_good_to_tell() -> None:
    rng = np.random.default_rng(2)
    f = rng.random(60)
    for true in (0, 4, 56, 60):
        found = prediction_powered_share(np.arange(60) < true, f, rng.random(500))
        assert found == clopper_pearson(true, 60)
    truth = np.arange(60) < 20
    assert prediction_powered_share(truth, truth, np.arange(500) % 3 == 0, weight=1.0).high < 0.6
    assert prediction_powered_share(truth, truth, np.ones(1)) == clopper_pearson(20, 60)
    assert prediction_powered_share(np.zeros(0, bool), np.zeros(0), f).value is None
    below = prediction_powered_share(np.arange(60) < 5, np.full(60, 0.5) + 0.4 * f, 0.1 * f, weight=1.0)
    assert 0 <= below.low <= below.value <= below.high <= 1


@pytest.mark.parametrize("kind", ["sharp", "vague", "overstated", "useless", "half blind"])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2])
def test_covers_rare_truths(kind: str, share: float) -> None:
    """n = 100 of 2,100, 400 draws: wanted ≥ .95. Chance 1e-4 each."""
    rng = np.random.default_rng(7)
    found = [prediction_powered_share(*drawn(rng, share, kind)) for _ in range(400)]
    assert accept(sum(e.low <= share <= e.high for e in found), 400, 0.95)


@pytest.mark.parametrize("hidden", [0.0, 0.01, 0.02])
def test_covers_where_the_rows_show_none_of_what_predictions_miss(hidden: float) -> None:
    """Predictions right on all but `hidden` of the rows: 100 rows show no miss in up to .37. 400 draws, chance 1e-4.

    Residuals that all but vanish would make the interval a point: with `hidden` = .01 it would cover .63 at most.
    """
    rng = np.random.default_rng(9)
    share, held = 0.1 + 0.9 * hidden, 0
    for _ in range(400):
        seen = rng.random(2100) < 0.1
        truth, f = seen | (rng.random(2100) < hidden), np.where(seen, 0.999, 0.001)
        found = prediction_powered_share(truth[:100], f[:100], f[100:])
        held += found.low <= share <= found.high
    assert accept(held, 400, 0.95)


def test_a_normal_interval_would_not_cover() -> None:
    """PPI++ ± 1.96 s.e. of 2 % holds in about .85 of 500 draws."""
    rng = np.random.default_rng(8)
    normal = 0
    for _ in range(500):
        truth, f, elsewhere = drawn(rng, 0.02, "vague")
        weight = np.cov(truth, f)[0, 1] / (1.05 * np.var(elsewhere))
        rest = truth - weight * f
        se = np.sqrt(np.var(rest) / 100 + weight**2 * np.var(elsewhere) / 2000)
        normal += abs(rest.mean() + weight * elsewhere.mean() - 0.02) <= 1.96 * se
    assert not accept(normal, 500, 0.94)
