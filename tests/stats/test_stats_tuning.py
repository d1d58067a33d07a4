from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.tuning import _band, _inside, gain_of_more, share_beyond_best, tuning_curve


def test_chance_of_staying_inside_equals_kolmogorovs() -> None:
    """A band of one width is Kolmogorov's, whose exact law SciPy has: D ≤ d iff i/k − d ≤ U ≤ (i − 1)/k + d."""
    for k in (1, 2, 7, 40, 300):
        d = stats.kstwo.ppf(0.9, k)
        i = np.arange(1, k + 1)
        assert _inside(np.clip(i / k - d, 0, 1), np.clip((i - 1) / k + d, 0, 1)) == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("k", [1, 4, 25])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_band_holds_exactly(k: int, level: float) -> None:
    """20,000 ordered uniform draws; chance 1e-4 a side. One trial: the plain interval of a uniform draw."""
    below, above = _band(k, level)
    drawn = np.sort(np.random.default_rng(k).random((20_000, k)), axis=1)
    assert accept(int(((below <= drawn) & (drawn <= above)).all(axis=1).sum()), 20_000, level, exact=True)
    assert (below, above[::-1]) == (pytest.approx(1 - above[::-1]), pytest.approx(1 - below))
    if k == 1:
        assert (below[0], above[0]) == pytest.approx(((1 - level) / 2, (1 + level) / 2))


def test_every_order_statistic_misses_alike() -> None:
    below, above = _band(30, 0.95)
    i = np.arange(1, 31)
    misses = np.r_[stats.beta.cdf(below, i, 31 - i), stats.beta.sf(above, i, 31 - i)]
    assert misses == pytest.approx(np.full(60, misses[0]))
    assert 0.05 / 60 < misses[0] < 0.025


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("quantile", [0.5, 0.2])
def test_the_whole_curve_is_held_at_once(higher: bool, quantile: float) -> None:
    """Best of m exponential scores: quantile q of one trial at q^(1/m), from the worst. 500 searches, chance 1e-4."""
    rng = np.random.default_rng(1)
    at = quantile ** (1 / np.arange(1, 41))
    truth = stats.expon.ppf(at if higher else 1 - at)
    held = 0
    for _ in range(500):
        found = tuning_curve(rng.exponential(size=25), 40, unit="x", higher_is_better=higher, quantile=quantile)
        low = np.array([-np.inf if e.low is None else e.low for e in found])
        high = np.array([np.inf if e.high is None else e.high for e in found])
        held += bool(((low <= truth) & (truth <= high)).all())
    assert accept(held, 500, 0.95)


def test_nothing_is_known_beyond_the_best_trial() -> None:
    scores = np.random.default_rng(0).normal(size=20)
    up = tuning_curve(scores, 200, unit="x", higher_is_better=True)
    down = tuning_curve(-scores, 200, unit="x", higher_is_better=False)
    assert up[-1].high is None
    assert up[-1].value is None
    assert up[-1].low == np.sort(scores)[-2]
    assert tuning_curve(scores[:3], 2000, unit="x", higher_is_better=True)[-1].low == scores[:3].max()
    assert [(e.low, e.high) for e in up] == [tuple(None if x is None else -x for x in (d.high, d.low)) for d in down]
    assert [e.value for e in up] == [None if d.value is None else -d.value for d in down]
    bounded = tuning_curve(scores, 200, unit="x", higher_is_better=True, bounds=(-9.0, 9.0))
    assert bounded[-1].high == 9
    assert tuning_curve(scores, 1, unit="x", higher_is_better=False, bounds=(-9.0, 9.0))[0].determined
    assert up[0].value == np.sort(scores)[9]
    assert up[19].value == scores.max()
    low = [e.low for e in up if e.low is not None]
    assert low == sorted(low)


def test_few_trials() -> None:
    none = tuning_curve(np.array([]), 2, unit="x", higher_is_better=True, bounds=(0.0, 1.0))
    assert [(e.value, e.low, e.high) for e in none] == [(None, 0, 1)] * 2
    one = tuning_curve(np.array([0.7]), 2, unit="x", higher_is_better=False)
    assert one[0].value == 0.7
    assert not one[0].determined


def test_ties_are_conservative() -> None:
    """Scores that are counts, 300 searches: medians of one trial and of the best of ten. Chance 1e-4."""
    rng = np.random.default_rng(3)
    at = 0.5 ** (1 / np.array([1, 10]))
    truth = stats.poisson.ppf(at, 1.5)
    found = [
        tuning_curve(rng.poisson(1.5, 30), 10, unit="x", higher_is_better=True, bounds=(0, 99)) for _ in range(300)
    ]
    assert accept(sum(e[i].low <= t <= e[i].high for e in found for i, t in ((0, truth[0]), (9, truth[1]))), 600, 0.95)


def test_share_beyond_the_best_is_exact() -> None:
    """P(the best lies beyond the q-quantile) = 1 − qⁿ. The well-known 59 trials for 5 %; 20,000 searches of 12."""
    assert share_beyond_best(59).high < 0.05 < share_beyond_best(58).high
    found = share_beyond_best(12, level=0.9)
    assert 1 - (1 - found.high) ** 12 == pytest.approx(0.9)
    left = 1 - np.random.default_rng(0).random((20_000, 12)).max(axis=1)
    assert accept(int((left <= found.high).sum()), 20_000, 0.9, exact=True)
    assert accept(int((left <= found.value).sum()), 20_000, 0.5, exact=True)
    nothing = share_beyond_best(0)
    assert (nothing.value, nothing.low, nothing.high) == (None, 0, 1)


def test_the_gain_of_further_trials_is_bounded() -> None:
    """Uniform scores, lower is better, 12 trials and 6 more: at least 95 of 100 bounds hold, in 2,000 searches.

    The value is the mean gain of the last 6: 1/7 − 1/13, with a standard error below .002.
    """
    drawn = np.random.default_rng(0).random((2000, 12))
    found = [gain_of_more(row, 6, unit="x", higher_is_better=False, bounds=(0.0, 1.0)) for row in drawn]
    best = drawn.min(axis=1)
    truth = best + ((1 - best) ** 7 - 1) / 7
    assert sum(t <= e.high for t, e in zip(truth, found, strict=True)) >= stats.binom.ppf(1e-4, 2000, 0.95)
    free = [gain_of_more(row, 6, unit="x", higher_is_better=False).value for row in drawn]
    assert np.mean(free) == pytest.approx(1 / 7 - 1 / 13, abs=0.008)
    assert np.mean(free) > truth.mean()


def test_the_gain_by_brute_force_and_its_edges() -> None:
    scores = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    worse = [min(scores[list(c)]) for c in combinations(range(5), 3)]
    found = gain_of_more(scores, 2, unit="x", higher_is_better=False)
    assert found.value == pytest.approx(np.mean(worse) - 1.0)
    assert (found.low, found.high) == (0, None)
    mirrored = gain_of_more(-scores, 2, unit="x", higher_is_better=True)
    assert (mirrored.value, mirrored.high) == (found.value, None)
    assert gain_of_more(scores, 5, unit="x", higher_is_better=False).value is None
    assert gain_of_more(np.array([]), 5, unit="x", higher_is_better=False).n == 0
    few = gain_of_more(np.array([2.0, np.inf, np.inf, np.inf]), 1, unit="x", higher_is_better=False, bounds=(0, np.inf))
    assert few.value is None
    assert 0 < few.high < 2
    enough = gain_of_more(np.array([2.0, 3.0, np.inf]), 1, unit="x", higher_is_better=False, bounds=(0, np.inf))
    assert enough.value == pytest.approx(1 / 3)
    perfect = gain_of_more(np.zeros(5), 2, unit="x", higher_is_better=False, bounds=(0, 1))
    assert (perfect.value, perfect.high) == (0, 0)
