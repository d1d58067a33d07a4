from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from scipy import stats
from sklearn.linear_model import LogisticRegression

from uncork.stats.conformal import conformal_quantile, least_ambiguous_sets


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
