from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from uncork.derived.confidence import confidence, correct, probabilities
from uncork.derived.order import one_per_group, ordered, random_half
from uncork.derived.temperature import best_temperature, cross_entropy
from uncork.derived.words import interval
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate


def made(n: int = 500, k: int = 4, seed: int = 0, clusters: np.ndarray | None = None) -> PassData:
    rng = np.random.default_rng(seed)
    return PassData.of_logits(3 * rng.normal(size=(n, k)), rng.integers(k, size=n), clusters=clusters)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from them: the best temperature is 1 in the population."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 5))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_probabilities_confidence_and_correctness() -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(300, 4)), rng.integers(4, size=300)
    passed = PassData.of_logits(logits, y)
    truth = softmax(logits, axis=1)
    np.testing.assert_allclose(probabilities(passed), truth, atol=1e-3)  # logits are kept in 16 bits
    np.testing.assert_allclose(probabilities(passed).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(confidence(passed), truth.max(1), atol=1e-3)
    assert confidence(passed).dtype == np.float64
    np.testing.assert_array_equal(correct(passed), logits.argmax(1) == y)


def test_memoised_on_the_artifact_itself() -> None:
    one, twin = made(), made()
    assert confidence(one) is confidence(one)
    assert confidence(one) is not confidence(twin)


def test_extreme_logits_stay_finite() -> None:
    passed = PassData.of_logits(np.array([[1e6, -1e6], [0.0, 0.0]]), np.array([1, 0]))
    assert np.isfinite(confidence(passed)).all()
    assert confidence(passed).tolist() == [1.0, 0.5]


def test_ordered_undoes_any_shuffling() -> None:
    passed = made()
    shuffled = passed.take(np.random.default_rng(1).permutation(len(passed)))
    assert not np.array_equal(shuffled.rows, passed.rows)
    for name in ("rows", "logits", "y", "loss", "margin", "predicted", "clusters"):
        np.testing.assert_array_equal(getattr(ordered(shuffled), name), getattr(passed, name))


@pytest.mark.parametrize("n", [10, 11, 501])
def test_random_half_of_rows(n: int) -> None:
    passed = made(n)
    half = random_half(passed, np.random.default_rng(0))
    assert half.sum() == n // 2
    assert not np.array_equal(half, random_half(passed, np.random.default_rng(1)))
    np.testing.assert_array_equal(half, random_half(passed, np.random.default_rng(0)))


def test_random_half_keeps_groups_together_whatever_the_order() -> None:
    clusters = np.random.default_rng(0).integers(40, size=500) * 3 + 7
    passed = made(clusters=clusters)
    half = random_half(passed, np.random.default_rng(5))
    sides = [set(half[clusters == c].tolist()) for c in np.unique(clusters)]
    assert all(len(s) == 1 for s in sides)
    assert sum(s == {True} for s in sides) == len(sides) // 2
    shuffled = np.random.default_rng(1).permutation(500)
    np.testing.assert_array_equal(random_half(passed.take(shuffled), np.random.default_rng(5)), half[shuffled])


def test_every_row_is_as_often_on_either_side() -> None:
    """2,000 halves of 20 rows: each row's count within 5 s.d. of 1,000 (chance 20 · 6e-7)."""
    passed = made(20)
    rng = np.random.default_rng(0)
    times = sum(random_half(passed, rng).astype(int) for _ in range(2000))
    assert np.abs(times - 1000).max() < 5 * np.sqrt(2000 / 4)


def test_cross_entropy_equals_sklearn() -> None:
    logits, y = drawn(400, 0)
    for t in (0.3, 1.0, 4.0):
        each = cross_entropy(logits, y, t)
        assert each.shape == (400,)
        assert each.mean() == pytest.approx(log_loss(y, softmax(logits / t, axis=1)))
    assert np.isfinite(cross_entropy(1e4 * logits, y, 0.02)).all()


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_found(factor: float) -> None:
    """Logits × factor are undone by T = factor. At 20,000 rows the s.e. of log T is about .008: within 4 % (5 s.e.)."""
    logits, y = drawn(20_000, 1)
    assert best_temperature(factor * logits, y) == pytest.approx(factor, rel=0.04)
    # and exactly: whatever these rows' best is, scaling the logits scales it
    assert best_temperature(factor * logits, y) == pytest.approx(factor * best_temperature(logits, y), rel=1e-4)


def test_equal_to_sklearns_temperature_scaling() -> None:
    """What scikit-learn's method="temperature" (an inverse temperature β) makes of the same logits."""
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=900)
    x = np.eye(4)[y] + rng.normal(size=(900, 4))
    model = LogisticRegression().fit(x[:300], y[:300])
    model.coef_, model.intercept_ = 3 * model.coef_, 3 * model.intercept_  # overconfident
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[300:], y[300:])
    t = best_temperature(model.decision_function(x[300:]), y[300:])
    assert t > 1.5
    ours = softmax(model.decision_function(x) / t, axis=1)
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=1e-4)


def test_no_other_temperature_is_better_and_order_plays_no_part() -> None:
    logits, y = drawn(700, 3)
    t = best_temperature(2 * logits, y)
    best = cross_entropy(2 * logits, y, t).mean()
    for other in (0.9 * t, 0.999 * t, 1.001 * t, 1.1 * t):
        assert cross_entropy(2 * logits, y, other).mean() > best
    shuffled = np.random.default_rng(0).permutation(700)
    assert best_temperature(2 * logits[shuffled], y[shuffled]) == pytest.approx(t, rel=1e-5)


def test_at_the_ends_of_its_range() -> None:
    """Always right: as cold as makes no difference; always wrong: the hotter the better."""
    logits, y = 2 * np.eye(3)[np.arange(300) % 3], np.arange(300) % 3
    cold = best_temperature(logits, y)
    assert 1 / 50 <= cold < 0.1
    assert cross_entropy(logits, y, cold).mean() - cross_entropy(logits, y, 1 / 50).mean() < 1e-12
    assert best_temperature(logits, (y + 1) % 3) == pytest.approx(50, rel=1e-3)


def test_one_per_group_is_one_random_row_of_each() -> None:
    """4,000 draws from groups of 1, 2 and 5 rows; each row's count within 5 s.d. (chance 8 · 6e-7)."""
    clusters = np.array([7, 3, 9, 9, 3, 9, 9, 9])
    passed = made(8, clusters=clusters)
    rng = np.random.default_rng(0)
    times = np.zeros(8)
    for _ in range(4000):
        one = one_per_group(passed, rng)
        assert sorted(one.clusters) == [3, 7, 9]
        times[one.rows] += 1
    share = 1 / np.bincount(clusters)[clusters]
    assert (np.abs(times - 4000 * share) <= 5 * np.sqrt(4000 * share * (1 - share))).all()


def test_one_per_group_of_ungrouped_rows_is_the_pass_itself() -> None:
    passed, rng = made(20), np.random.default_rng(0)
    assert one_per_group(passed, rng) is passed
    assert rng.random() == np.random.default_rng(0).random()  # and nothing was drawn


def test_interval_in_words() -> None:
    found = Estimate(58.0, 47.96, 69.04, "errors per 1,000", 100, "t")
    assert interval(found) == " (48.0 to 69.0)"
    assert interval(found, ".0f") == " (48 to 69)"
    assert interval(Estimate(1.0, None, 2.0, "x", 1, "t")) == ""
