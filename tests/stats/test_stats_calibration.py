from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.calibration import (
    calibrated_null,
    calibration_error,
    equal_mass_bins,
    expected_calibration_error,
)

FIFTEEN = np.linspace(0.5, 0.99, 15)
# (what, stated confidence by level, share right by level, share of rows by level)
KNOWN = {
    "calibrated": (FIFTEEN, FIFTEEN, None),
    "over by .03": (FIFTEEN, FIFTEEN - 0.03, None),
    "over by .1": (FIFTEEN, FIFTEEN - 0.1, None),
    "under by .1": (np.linspace(0.5, 0.85, 15), np.linspace(0.6, 0.95, 15), None),
    "modern": (np.array([0.7, 0.8, 0.9, 0.95, 0.999]), np.array([0.6, 0.7, 0.85, 0.92, 0.98]), [0.05] * 4 + [0.8]),
    "rare errors": (np.full(15, 0.9999), np.full(15, 0.997), None),
    "rare errors, one level": (np.array([0.999]), np.array([0.99]), None),
    "rare errors, one bin of 15": (np.full(15, 0.9999), np.r_[0.9, np.full(14, 0.9999)], None),
}


def simulate(name: str, n: int, times: int) -> tuple[float, list[Estimate]]:
    """(the true root mean square gap, estimates on so many draws). Levels are the bins, so that the truth is exact."""
    stated, right, share = KNOWN[name]
    share = np.full(len(stated), 1 / len(stated)) if share is None else np.array(share)
    level = np.repeat(np.arange(len(stated)), np.round(share * n).astype(int))
    weight = np.bincount(level) / len(level)
    truth = float(np.sqrt((weight * (stated - right) ** 2).sum()))
    rng = np.random.default_rng([n, len(name)])
    draws = (rng.random(len(level)) < right[level] for _ in range(times))
    return truth, [calibration_error(stated[level], correct, level) for correct in draws]


def covered(truth: float, found: list[Estimate]) -> int:
    return sum(e.low <= truth + 1e-12 and truth <= e.high + 1e-12 for e in found)


@pytest.mark.parametrize("name", KNOWN)
def test_covers(name: str) -> None:
    """400 draws at n = 500; wanted ≥ .95. Chance of failing correct code 1e-4 each."""
    truth, found = simulate(name, 500, 400)
    assert accept(covered(truth, found), 400, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 500, 2000, 10000])
@pytest.mark.parametrize("name", KNOWN)
def test_covers_at_length(name: str, n: int) -> None:
    """4,000 draws; wanted ≥ .945, since normal theory is approximate. Chance 1e-4 each."""
    truth, found = simulate(name, n, 4000)
    assert accept(covered(truth, found), 4000, 0.945)


@pytest.mark.parametrize("name", ["over by .1", "under by .1"])
def test_unbiased_on_the_squared_scale(name: str) -> None:
    """600 draws at n = 2,000, where cutting at zero plays no part; the mean within 4 s.e. (chance 6e-5)."""
    truth, found = simulate(name, 2000, 600)
    square = np.array([e.value for e in found]) ** 2
    assert abs(square.mean() - truth**2) < 4 * stats.sem(square)
    plain = square.mean() + 0.15 / 2000 * 15  # undebiased it would be about so much higher, which this would notice
    assert abs(plain - truth**2) > 4 * stats.sem(square)


def test_a_calibrated_model_is_seldom_accused_and_the_interval_closes_in() -> None:
    """The lower end stands above 0 in at most 2.5 % of 600 draws; the width halves with four times the rows."""
    _, found = simulate("calibrated", 2000, 600)
    assert accept(sum(e.low == 0 for e in found), 600, 0.975)
    _, more = simulate("calibrated", 8000, 100)
    ratio = np.median([e.high for e in found]) / np.median([e.high for e in more])
    assert 1.7 < ratio < 2.3


def test_constant_confidence_is_one_bin() -> None:
    confidence, correct = np.full(300, 0.9), np.arange(300) % 10 < 7
    which = equal_mass_bins(confidence)
    assert which.max() == 0
    found = calibration_error(confidence, correct, which)
    assert found.value == pytest.approx(np.sqrt(0.2**2 - 0.21 / 299))
    # One bin is one normal: its two-sided interval, but for the upper end's allowance for unseen errors.
    half = 1.96 * np.sqrt(0.7 * 0.3 / 300)
    assert found.low == pytest.approx(0.2 - half, abs=0.004)
    assert found.high == pytest.approx(0.2 + half, abs=0.004)


@pytest.mark.parametrize("sure", [0.9999, 0.99, 0.8, 1.0])
def test_all_right_is_no_proof_of_calibration(sure: float) -> None:
    """150 of 150 right are still compatible with an error of 2 %, whatever is stated."""
    confidence = np.full(150, sure)
    found = calibration_error(confidence, np.ones(150, bool), np.arange(150) // 10)
    if found.determined:
        assert found.low <= 1 - sure <= found.high
        assert found.high >= 0.02 - (1 - sure)
        assert found.low <= found.value <= found.high
    else:
        assert sure == 1.0


def test_few_rows_are_undetermined() -> None:
    few = calibration_error(np.full(19, 0.9), np.ones(19, bool), np.zeros(19, int))
    lone = calibration_error(np.full(40, 0.9), np.ones(40, bool), np.r_[0, np.ones(39, int)])
    assert not few.determined
    assert not lone.determined


def test_value_lies_in_its_interval_over_many_draws() -> None:
    for name in KNOWN:
        for e in simulate(name, 200, 40)[1]:
            assert 0 <= e.low <= e.value <= e.high
            assert e.high > e.low


def test_level_widens() -> None:
    confidence = np.repeat(FIFTEEN, 40)
    correct = np.random.default_rng(0).random(600) < confidence - 0.1
    which = np.repeat(np.arange(15), 40)
    narrow, wide = (calibration_error(confidence, correct, which, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def textbook_ece(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> float:
    total = 0.0
    for b in set(bins.tolist()):
        rows = [i for i in range(len(bins)) if bins[i] == b]
        acc = sum(bool(correct[i]) for i in rows) / len(rows)
        conf = sum(confidence[i] for i in rows) / len(rows)
        total += len(rows) / len(bins) * abs(acc - conf)
    return total


def test_ece_equals_the_textbook_and_sklearns_curve() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 900)
    correct = rng.random(900) < confidence**2
    which = equal_mass_bins(confidence)
    found = expected_calibration_error(confidence, correct, which)
    assert found == pytest.approx(textbook_ece(confidence, correct, which))
    right, stated = calibration_curve(correct, confidence, n_bins=15, strategy="quantile")
    assert found == pytest.approx(np.abs(right - stated).mean(), rel=1e-9)  # 900 rows: 60 a bin


def test_bins_are_of_equal_size_without_ties() -> None:
    for n in (100, 149, 150, 151, 1000, 1007):
        size = np.bincount(equal_mass_bins(np.random.default_rng(n).random(n)))
        assert len(size) == min(15, n // 10)
        assert size.min() >= 10
        assert size.max() - size.min() <= 2


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=300))
def test_bins_with_ties(levels: list[int]) -> None:
    confidence = np.array(levels) / 25
    which = equal_mass_bins(confidence)
    size = np.bincount(which)
    assert size.min() >= min(10, len(levels))
    order = np.argsort(confidence, kind="stable")
    assert (np.diff(which[order]) >= 0).all()
    assert all(len(set(which[confidence == c])) == 1 for c in set(confidence))
    again = equal_mass_bins(confidence[::-1])
    assert (again == which[::-1]).all()


def test_null_equals_what_calibrated_models_show() -> None:
    """Simulated apart, and for one bin of constant confidence in closed form: E|Z|·s.d. of a share.

    2,000 draws against 2,000: means within 5 s.e. (chance 1e-6).
    """
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.repeat(FIFTEEN, 20))
    which = equal_mass_bins(confidence)
    null = calibrated_null(confidence, which, rng, draws=2000)
    apart = [expected_calibration_error(confidence, rng.random(300) < confidence, which) for _ in range(2000)]
    assert (np.diff(null) >= 0).all()
    assert abs(null.mean() - np.mean(apart)) < 5 * np.hypot(stats.sem(null), stats.sem(apart))
    assert null.std() == pytest.approx(np.std(apart), rel=0.1)

    n = 400
    one = calibrated_null(np.full(n, 0.8), np.zeros(n, int), rng, draws=4000)
    k = np.arange(n + 1)
    exact = (stats.binom.pmf(k, n, 0.8) * np.abs(k / n - 0.8)).sum()
    assert abs(one.mean() - exact) < 5 * stats.sem(one)


@pytest.mark.parametrize(("n", "figure"), [(500, 0.024), (2000, 0.012), (10000, 0.0053)])
def test_null_by_analysis_and_of_the_catalogs_order(n: int, figure: float) -> None:
    """Σ_b √(2/π · Σ c(1 − c)) / n by the normal limit, within 4 % (200 draws: Monte Carlo s.d. about 1.5 %).

    CATALOG.md's figures are for a model whose confidences it doesn't name (they imply a mean √(c(1 − c)) of .17; here
    it is .30), so against them the order of magnitude is tested only: a factor of 2.5.
    """
    rng = np.random.default_rng(n)
    confidence = 1 - 0.5 * rng.beta(1, 3, n)  # .875 on average
    which = equal_mass_bins(confidence)
    null = calibrated_null(confidence, which, rng, draws=200)
    spread = np.bincount(which, weights=confidence * (1 - confidence))
    assert null.mean() == pytest.approx(np.sqrt(2 / np.pi * spread).sum() / n, rel=0.04)
    assert figure / 2.5 < null.mean() < figure * 2.5


def test_null_p_value_is_uniform_for_a_calibrated_model() -> None:
    """At most 5 % of 1,000 calibrated draws reach the null's upper 5 % (two-sided region, chance 2e-4)."""
    rng = np.random.default_rng(4)
    confidence = rng.uniform(0.5, 1, 300)
    which = equal_mass_bins(confidence)
    edge = calibrated_null(confidence, which, rng, draws=4000)[3800]
    above = sum(expected_calibration_error(confidence, rng.random(300) < confidence, which) > edge for _ in range(1000))
    assert accept(1000 - above, 1000, 0.95, exact=True)


@pytest.mark.parametrize("doubt", [1e-5, 1e-7, 1e-10, 1e-13])
def test_wrong_throughout_at_any_confidence(doubt: float) -> None:
    """The noise that is stated vanishes beside the gap."""
    found = calibration_error(np.full(5000, 1 - doubt), np.zeros(5000, bool), np.zeros(5000, np.int64))
    assert found.value == pytest.approx(1 - doubt)
    assert 0.999 < found.low < found.value <= found.high
