"""Losses elsewhere against closed forms: paired and two-sample drops, guesses without labels, and few labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from uncork.derived.domain import (
    Sure,
    apart,
    by_difference,
    by_few_labels,
    by_threshold,
    class_weights,
    dropped,
    labelled,
    sure_of,
)
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.stats.score import score
from uncork.testing.artifacts import a_pass, calibrated_pass
from uncork.testing.shifted import a_shifted, shifted_labels

ERROR = Metric("error")


def two_normals(n: int, seed: int, *, apart: float = 1.0, share: float = 0.5) -> PassData:
    """Two normal classes ±`apart` from 0, and the Bayes rule of ±1 and even shares: errs for Φ(−apart)."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    x = (2 * y - 1) * apart + rng.normal(size=n)
    return PassData.of_logits(np.stack([np.zeros(n), 2 * x], axis=1), y)


def inside(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def drop_of(seed: int, apart_by: float) -> Estimate:
    validation, there = two_normals(1500, seed), two_normals(600, 10_000 + seed, apart=apart_by)
    return apart(ERROR, score(ERROR, there), score(ERROR, validation))


@pytest.mark.parametrize("nearer", [0.6, 1.0])
def test_a_planted_shift_costs_what_the_closed_form_says(nearer: float) -> None:
    """1,000 · (Φ(−nearer) − Φ(−1)); of 200 intervals that cover .95 or more, 179 miss by chance 3 in 10,000 times."""
    truth = 1000 * (stats.norm.cdf(-nearer) - stats.norm.cdf(-1))
    hits = sum(inside(drop_of(seed, nearer), truth) for seed in range(200))
    assert hits >= stats.binom.ppf(5e-4, 200, 0.95)


def test_pairs_are_found_whatever_the_order_and_compared_row_by_row() -> None:
    validation, there = a_pass(400, error=0.1, seed=0), a_pass(300, error=0.2, seed=1)
    pairs = np.stack([np.arange(300), np.arange(300)], axis=1)
    rng = np.random.default_rng(0)
    found = dropped(ERROR, validation.take(rng.permutation(400)), there.take(rng.permutation(300)), pairs)
    assert found is not None
    before = (validation.predicted != validation.y)[:300].mean()
    assert found.value == pytest.approx(1000 * (0.2 - before))
    assert "paired" in found.method
    # Pairs of another label are none, and below nine of ten nothing is paired.
    other = PassData.of_logits(there.logits, np.where(np.arange(300) < 31, 1 - there.y, there.y))
    assert dropped(ERROR, validation, other, pairs) is None
    assert dropped(ERROR, validation, there, pairs[:269]) is None
    assert dropped(ERROR, validation, there, pairs[:270]) is not None
    assert dropped(ERROR, validation, there, pairs[:0]) is None


def test_higher_is_better_turns_round() -> None:
    validation, there = a_pass(400, error=0.1, seed=0), a_pass(300, error=0.2, seed=1)
    drops = [apart(m, score(m, there), score(m, validation)) for m in (ERROR, Metric("accuracy"))]
    assert drops[0].value == drops[1].value == pytest.approx(100)
    assert drops[0].low == pytest.approx(drops[1].low)
    assert drops[0].se is not None


def thresholded(n: int, seed: int, cut: float, *, low: float = 0.5) -> PassData:
    """Right exactly where it is surer than `cut`; confidence even between `low` and 1."""
    rng = np.random.default_rng(seed)
    sure, y = rng.uniform(low, 0.999, n), rng.integers(2, size=n)
    decided = np.where(sure > cut, y, 1 - y)
    p = np.stack([1 - sure, sure], axis=1)[np.arange(n)[:, None], np.stack([1 - decided, decided], axis=1)]
    return PassData.of_logits(np.log(p), y)


def guesses(validation: PassData, there: PassData) -> tuple[Estimate, Estimate]:
    sure = sure_of(validation, a_shifted(there, validation=len(validation)))
    return by_threshold(sure, np.random.default_rng(0)), by_difference(sure)


def test_thresholded_confidence_is_exact_where_errors_lie_below_one_confidence() -> None:
    """At 20 and 40 % wrong, up to the rows between the two sides of the threshold (and 16 bits)."""
    validation, there = thresholded(2000, 0, 0.6), thresholded(1500, 1, 0.75, low=0.65)
    alike = thresholded(1500, 1, 0.6, low=0.5)
    wrong = [1000 * np.mean(p.predicted != p.y) for p in (alike, there)]
    assert guesses(validation, alike)[0].value == pytest.approx(wrong[0], abs=4)
    # It is wrong where they lie below another, and nothing without labels could tell.
    assert wrong[1] > 250
    assert guesses(validation, there)[0].value == 0


@pytest.mark.slow
def test_each_guess_covers_where_it_is_right() -> None:
    """Labels drawn from its own probabilities here and there, and errors below one confidence: of 40 intervals of 95 %
    each for the error in expectation fewer than 32 contain it by chance 4 in 100,000 times."""
    large = softmax(np.random.default_rng(0).normal(scale=0.8, size=(200_000, 3)), axis=1)
    truths, hits = (1000 * 0.05 / 0.449, 1000 * (1 - large.max(axis=1).mean())), np.zeros(2)
    for seed in range(40):
        validation, there = thresholded(1500, seed, 0.6), thresholded(600, 100 + seed, 0.6, low=0.55)
        hits[0] += inside(guesses(validation, there)[0], truths[0])
        validation = calibrated_pass(1500, classes=3, seed=seed)
        there = calibrated_pass(600, classes=3, sharpness=0.8, seed=100 + seed)
        hits[1] += inside(guesses(validation, there)[1], truths[1])
    assert (hits >= 32).all(), hits


def test_difference_of_confidences_is_right_for_a_calibrated_model() -> None:
    """On 20,000 rows within 12 per 1,000 of their share wrong: three s.e. of its own and of the share's."""
    validation, there = (calibrated_pass(20_000, classes=3, sharpness=s, seed=i) for i, s in enumerate((2.0, 0.8)))
    guess = by_difference(sure_of(validation, a_shifted(there, validation=20_000)))
    assert guess.value == pytest.approx(1000 * np.mean(there.predicted != there.y), abs=12)


def test_guesses_without_a_shift_are_the_error() -> None:
    validation, there = calibrated_pass(3000, seed=0), calibrated_pass(3000, seed=1)
    truth = 1000 * np.mean(validation.predicted != validation.y)
    for guess in guesses(validation, there):
        assert inside(guess, truth)
        assert "sampling alone" in guess.method


def test_ties_at_the_threshold_count_in_part() -> None:
    """All rows equally sure: validation's own error, and shifted's the same."""
    validation, there = a_pass(400, error=0.1), a_pass(300, error=0.3, confidence=0.9, seed=2)
    assert guesses(validation, there)[0].value == pytest.approx(100)
    perfect = a_pass(400, error=0.0, confidence=0.9)
    assert guesses(perfect, there)[0].value == pytest.approx(0)
    hopeless = a_pass(400, error=1.0, confidence=0.9)
    assert guesses(hopeless, there)[0].value == pytest.approx(1000)


def test_groups_and_pairs_are_drawn_together() -> None:
    """The same rows twice are worth half of their number: s.e. √2 times that of all rows apart, and validation's, which
    is small; within .03. A pair's rows rise and fall together."""
    validation, there = calibrated_pass(4000, sharpness=100.0, seed=0), calibrated_pass(200, seed=1)
    twice = there.take(np.repeat(np.arange(200), 2))
    se = []
    for clusters in (np.arange(400), np.repeat(np.arange(200), 2)):
        shifted = a_shifted(twice, clusters=4000 + clusters)
        se.append(by_difference(sure_of(validation, shifted)).se)
    assert se[1] / se[0] == pytest.approx(2**0.5, abs=0.03)
    alone = calibrated_pass(500, seed=3)
    by_pairs = by_difference(sure_of(alone, a_shifted(alone)))
    # Of the very same rows the guess is the share wrong, whose s.e. is known.
    wrong = np.mean(alone.predicted != alone.y)
    assert by_pairs.se == pytest.approx(1000 * (wrong * (1 - wrong) / 499) ** 0.5)


def few(seed: int, k: int = 100) -> tuple[Estimate, Estimate]:
    """(with what the model says of all others, by the k labels alone), of Φ(−.6) wrong."""
    validation, there = two_normals(1000, seed), two_normals(2000, 500 + seed, apart=0.6)
    shifted = a_shifted(there, validation=1000)
    found = labelled(shifted, shifted_labels(there, k))
    return by_few_labels(ERROR, shifted, found, sure_of(validation, shifted)), score(ERROR, found)


@pytest.mark.slow
def test_few_labels_cover() -> None:
    """400 draws of 100 labels: intervals of 95 % that keep it miss more than 36 times by chance 1 in 1,000; narrower
    than those of the labels alone."""
    truth = 1000 * stats.norm.cdf(-0.6)
    both = [few(seed) for seed in range(400)]
    assert sum(inside(e, truth) for e, _ in both) >= stats.binom.ppf(1e-3, 400, 0.95)
    width = [np.mean([e.high - e.low for e in side]) for side in zip(*both, strict=True)]
    assert width[0] < width[1]


def test_few_labels_of_other_metrics_and_of_groups_stand_alone() -> None:
    validation, there = two_normals(1000, 0), two_normals(600, 1)
    for metric, clusters in ((Metric("log-loss"), np.arange(600)), (ERROR, np.arange(600) // 2)):
        shifted = a_shifted(there, clusters=1000 + clusters)
        found = labelled(shifted, shifted_labels(there, 100))
        assert by_few_labels(metric, shifted, found, sure_of(validation, shifted)) == score(metric, found)
    by_accuracy, by_error = (
        by_few_labels(m, s, labelled(s, shifted_labels(there, 100)), sure_of(validation, s))
        for m, s in ((m, a_shifted(there, validation=1000)) for m in (Metric("accuracy"), ERROR))
    )
    assert by_accuracy.value == pytest.approx(1000 - by_error.value)
    assert by_accuracy.low == pytest.approx(1000 - by_error.high)


def test_labels_find_their_rows() -> None:
    """Of rows 3, 5, 7 … labels of some, and of a row that isn't measured."""
    there = a_pass(50, error=0.2)
    kept = there.take(np.arange(3, 50, 2))
    shifted = a_shifted(kept, rows=np.arange(3, 50, 2))
    labels: Any = shifted_labels(there, 10)  # rows 0 … 9
    found = labelled(shifted, labels)
    assert found.rows.tolist() == [3, 5, 7, 9]
    np.testing.assert_array_equal(found.predicted, there.predicted[found.rows])
    np.testing.assert_array_equal(found.y, there.y[found.rows])


def decisions(y: np.ndarray, confusion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(y))[:, None] > confusion[y].cumsum(axis=1)).sum(axis=1)


def test_class_weights_are_recovered() -> None:
    """Three classes confused in a known way, shares (.6, .3, .1) → (.1, .3, .6): weights ⅙, 1, 6, exactly from the
    confusion itself, within 8 % of the largest from 20,000 rows each (about five s.e.)."""
    confusion = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.05, 0.25, 0.7]])
    old, new = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6])
    rng = np.random.default_rng(0)
    y, there = (rng.choice(3, 20_000, p=p) for p in (old, new))
    found = class_weights(decisions(y, confusion, rng), y, decisions(there, confusion, rng), 3)
    np.testing.assert_allclose(found, new / old, atol=0.08 * 6)
    counts = np.bincount(y, minlength=3) / len(y)
    assert counts @ found == pytest.approx(1)
    # Exactly, on rows that hold the proportions themselves.
    cells = np.round(2000 * old[:, None] * confusion).astype(int)
    y, made = (np.repeat(np.indices((3, 3))[i].ravel(), cells.ravel()) for i in (0, 1))
    decided = np.repeat(np.arange(3), np.round(2000 * new @ confusion).astype(int))
    np.testing.assert_allclose(class_weights(made, y, decided, 3), new / old, rtol=1e-6)


def test_a_class_that_validation_lacks_keeps_its_weight() -> None:
    y = np.array([0, 0, 1, 1])
    assert class_weights(y, y, np.array([0, 1, 1, 1]), 3).tolist() == pytest.approx([0.5, 1.5, 1.0])


def test_few_groups_of_one_side_are_not_many_rows_of_both() -> None:
    """400 rows here, 6 groups there, which alone vary: t of 5 degrees of freedom, and nothing to draw again."""
    groups = np.arange(120) // 20
    there = 0.7 + 0.05 * np.array([-2, -1, 0, 0, 1, 2])[groups]
    sure = Sure(np.r_[np.full(400, 0.9), there], np.arange(400) < 40, np.r_[np.arange(400), 400 + groups])
    found = by_difference(sure)
    assert found.value == pytest.approx(300)
    half = stats.t.ppf(0.975, 5) * 1000 * (0.05 * np.sqrt(2 / 6))
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    few = by_threshold(sure, np.random.default_rng(0))
    assert few.value is not None
    assert (few.low, few.high) == (None, None)
