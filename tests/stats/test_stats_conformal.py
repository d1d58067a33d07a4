from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from scipy import stats
from sklearn.linear_model import LinearRegression, LogisticRegression
from stats_helpers import accept

from uncork.stats.conformal import conformal_quantile, least_ambiguous_sets, quantile_interval, quantiles_by


@pytest.mark.parametrize("n", [1, 9, 10, 19, 99, 100, 1000])
@pytest.mark.parametrize("coverage", ["0.5", "0.8", "0.9", "0.95", "0.99"])
def test_quantile_is_the_smallest_score_with_enough_below(n: int, coverage: str) -> None:
    """Brute force in fractions: the smallest s with #{scores ≤ s} ≥ (n + 1) · coverage."""
    scores = np.random.default_rng(n).normal(size=n)
    asked = Fraction(coverage) * (n + 1)
    enough = [s for s in scores if (scores <= s).sum() >= asked]
    assert conformal_quantile(scores, float(coverage)) == (min(enough) if enough else math.inf)


def test_quantile_against_numpy() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    level = math.ceil(1001 * 0.9) / 1000
    assert conformal_quantile(scores, 0.9) == np.quantile(scores, level, method="inverted_cdf")


def test_sets_equal_mapies() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=900)
    x = np.eye(4)[y] + 0.8 * rng.normal(size=(900, 4))
    model = LogisticRegression().fit(x[:300], y[:300])
    mapie = SplitConformalClassifier(model, confidence_level=0.9, conformity_score="lac", prefit=True)
    mapie.conformalize(x[300:600], y[300:600])
    _, theirs = mapie.predict_set(x[600:])
    probability = model.predict_proba(x)
    ours = least_ambiguous_sets(probability[300:600], y[300:600], probability[600:], 0.9)
    np.testing.assert_array_equal(ours, theirs[:, :, 0])
    assert ours.sum(1).std() > 0


def test_coverage_is_beta_901_100() -> None:
    """n = 1,000, α = .1: coverage of the calibrated set is Beta(901, 100), mean .9001, s.d. .0095.

    2,000 calibrations of uniform scores, whose coverage is the quantile itself. Kolmogorov–Smirnov p > 1e-4, mean
    within 5 s.e.: correct code fails with chance 1e-4.
    """
    rng = np.random.default_rng(0)
    coverage = np.array([conformal_quantile(rng.random(1000), 0.9) for _ in range(2000)])
    assert stats.kstest(coverage, stats.beta(901, 100).cdf).pvalue > 1e-4
    assert abs(coverage.mean() - 901 / 1001) < 5 * 0.0095 / math.sqrt(2000)
    assert coverage.std() == pytest.approx(0.0095, rel=0.08)  # the s.d. of an s.d. of 2,000: 1.6 %


def test_sets_cover_fresh_rows() -> None:
    """Overconfident probabilities, 300 calibrations of 200 rows, scored on 100 fresh ones: mean .9 ≤ coverage < .91."""
    rng = np.random.default_rng(1)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(5, size=n)
        logits = 4 * (np.eye(5)[y] + rng.normal(size=(n, 5)))
        p = np.exp(logits - logits.max(1, keepdims=True))
        return (p / p.sum(1, keepdims=True)).astype(np.float32), y

    held = []
    for _ in range(300):
        (p, y), (fresh, truth) = draw(200), draw(100)
        held.append(least_ambiguous_sets(p, y, fresh, 0.9)[np.arange(100), truth].mean())
    expected = math.ceil(201 * 0.9) / 201  # exact for continuous scores
    assert abs(np.mean(held) - expected) < 4 * stats.sem(held)  # chance 6e-5


def test_too_few_rows_give_every_class() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 8)
    assert least_ambiguous_sets(probability, np.zeros(8, int), probability, 0.9).all()
    nine = np.r_[probability, probability[:1]]
    assert not least_ambiguous_sets(nine, np.zeros(9, int), np.array([[0.0, 0.0, 1.0]]), 0.5).all()


def test_the_calibration_row_at_the_threshold_is_inside() -> None:
    """In 32 bits too: a row whose score is the quantile belongs to its own set."""
    probability = np.random.default_rng(2).dirichlet(np.ones(3), 99).astype(np.float32)
    y = np.zeros(99, int)
    inside = least_ambiguous_sets(probability, y, probability, 0.9)[:, 0]
    assert inside.sum() == 90


def classes_of_unequal_hardness(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, labels) of four classes; the last is seen least clearly."""
    y = rng.integers(4, size=n)
    logits = np.array([4.0, 4.0, 4.0, 1.0])[y, None] * np.eye(4)[y] + rng.normal(size=(n, 4))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), y


def test_limits_of_their_own_are_those_of_each_class_alone() -> None:
    """Brute force: a class is in the set where its score is at most the quantile of its own rows'."""
    p, y = classes_of_unequal_hardness(300, np.random.default_rng(0))
    fresh, _ = classes_of_unequal_hardness(50, np.random.default_rng(1))
    sets = least_ambiguous_sets(p, y, fresh, 0.9, by_class=True)
    for k in range(4):
        limit = conformal_quantile(1 - p[y == k, k], 0.9)
        np.testing.assert_array_equal(sets[:, k], 1 - fresh[:, k] <= limit)
    few = least_ambiguous_sets(p[y != 3], y[y != 3], fresh, 0.9, by_class=True)
    assert few[:, 3].all()


def test_every_class_is_covered_by_limits_of_its_own() -> None:
    """200 calibrations of 800 rows, scored on 400: the mean of each class is .9 to .91 (1/(n_k + 1) more than asked at
    most); one limit for all holds the unclear class far less. Within 4 s.e.: chance 3e-4 over the four."""
    rng = np.random.default_rng(3)
    held = {False: np.zeros((200, 4)), True: np.zeros((200, 4))}
    for i in range(200):
        (p, y), (fresh, truth) = classes_of_unequal_hardness(800, rng), classes_of_unequal_hardness(400, rng)
        for own, table in held.items():
            inside = least_ambiguous_sets(p, y, fresh, 0.9, by_class=own)[np.arange(400), truth]
            table[i] = [inside[truth == k].mean() for k in range(4)]
    error = stats.sem(held[True], axis=0)
    assert (held[True].mean(axis=0) > 0.9 - 4 * error).all()
    assert (held[True].mean(axis=0) < 0.91 + 4 * error).all()
    assert held[False].mean(axis=0)[3] < 0.8


def test_intervals_equal_mapies() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 3))
    y = x @ [1.0, 2.0, -1.0] + rng.standard_t(3, size=900)
    model = LinearRegression().fit(x[:300], y[:300])
    mapie = SplitConformalRegressor(model, confidence_level=0.9, conformity_score="absolute", prefit=True)
    mapie.conformalize(x[300:600], y[300:600])
    predicted, theirs = mapie.predict_interval(x[600:])
    width = conformal_quantile(np.abs(y[300:600] - model.predict(x[300:600])), 0.9)
    np.testing.assert_allclose(theirs[:, 0, 0], predicted - width)
    np.testing.assert_allclose(theirs[:, 1, 0], predicted + width)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_interval_of_a_quantile_covers_and_no_more_than_that(share: float) -> None:
    """Uniform scores, whose quantile is the share: 1,000 draws of 600. At least .95, and of 600 rows at
    most .975, since one order statistic inwards misses too often. Chance of failing correct code 1e-4."""
    rng = np.random.default_rng(4)
    found = [quantile_interval(rng.random(600), share, unit="u") for _ in range(1000)]
    held = sum((e.low is None or e.low <= share) and (e.high is None or share <= e.high) for e in found)
    assert accept(held, 1000, 0.95)
    assert held / 1000 < 0.985
    assert all(e.value is None or (e.low or 0) <= e.value <= (e.high or 1) for e in found)


def test_interval_of_a_quantile_of_few_or_equal_scores() -> None:
    few = quantile_interval(np.arange(8.0), 0.9, unit="u")
    assert (few.value, few.high) == (None, None)
    assert few.low is not None
    equal = quantile_interval(np.ones(500), 0.9, unit="u")
    assert (equal.value, equal.low, equal.high) == (1.0, None, None)
    assert "undetermined" in equal.method


@pytest.mark.slow
def test_coverage_of_intervals_is_beta_901_100() -> None:
    """Absolute residuals of t₃ errors, 1,000 to calibrate: the coverage of prediction ± width, which the errors' own
    distribution tells, is Beta(901, 100). 5,000 calibrations; Kolmogorov–Smirnov p > 1e-4."""
    rng = np.random.default_rng(7)
    widths = [conformal_quantile(np.abs(rng.standard_t(3, 1000)), 0.9) for _ in range(5000)]
    coverage = 2 * stats.t.cdf(widths, 3) - 1
    assert stats.kstest(coverage, stats.beta(901, 100).cdf).pvalue > 1e-4
    assert coverage.mean() == pytest.approx(0.9001, abs=5 * 0.0095 / math.sqrt(5000))
    assert coverage.std() == pytest.approx(0.0095, rel=0.05)


@pytest.mark.slow
def test_coverage_by_class_is_beta_of_its_rows() -> None:
    """4,000 calibrations of 300 rows in three classes of uniform scores: of a class with m rows the coverage, its limit
    itself, is Beta(⌈.9(m + 1)⌉, m + 1 − ⌈.9(m + 1)⌉). By the probability integral transform uniform over all of them;
    Kolmogorov–Smirnov p > 1e-4."""
    rng = np.random.default_rng(8)
    transformed = []
    for _ in range(4000):
        which = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
        for kind, limit in enumerate(quantiles_by(rng.random(300), which, 3, 0.9)):
            m = int((which == kind).sum())
            if m >= 9:  # else the limit is infinite
                rank = math.ceil(0.9 * (m + 1))
                transformed.append(stats.beta.cdf(limit, rank, m + 1 - rank))
    assert len(transformed) > 11_900
    assert stats.kstest(transformed, "uniform").pvalue > 1e-4
