"""Calibration class by class: equal to the textbook, together at the stated level, and the planted class is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from stats_helpers import accept

from uncork.stats import classwise_calibration
from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.stats.classwise_calibration import (
    classwise_bins,
    classwise_ece,
    classwise_errors,
    classwise_null,
    top_label_bins,
    top_label_errors,
    worst,
)

SHARES = np.array([0.5, 0.25, 0.15, 0.1])


def drawn(n: int, seed: int, *, too_sure: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, labels drawn from them), but a share of the rows predicted as the third are another class."""
    rng = np.random.default_rng(seed)
    p = softmax(1.5 * rng.normal(size=(n, 4)) + np.log(SHARES), axis=1)
    y = (rng.random((n, 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
    turned = (p.argmax(axis=1) == 2) & (rng.random(n) < too_sure)
    return p, np.where(turned, 0, y)


def test_classwise_ece_is_the_textbooks() -> None:
    p, y = drawn(700, 0, too_sure=0.3)
    total = 0.0
    for k in range(4):
        bins = equal_mass_bins(p[:, k])
        for b in set(bins.tolist()):
            rows = [i for i in range(700) if bins[i] == b]
            total += abs(sum(p[i, k] for i in rows) - sum(y[i] == k for i in rows)) / 700
    assert classwise_ece(p, y, classwise_bins(p)) == pytest.approx(total / 4)


def test_null_is_what_calibrated_models_show() -> None:
    """Labels drawn apart, by inversion over all classes: means of 400 draws within 4 s.e. (chance 6e-5)."""
    rng = np.random.default_rng(1)
    p, _ = drawn(300, 1)
    which = classwise_bins(p)
    null = classwise_null(p, which, rng, draws=400)
    apart = [
        classwise_ece(p, (rng.random((300, 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1), which) for _ in range(400)
    ]
    assert (np.diff(null) >= 0).all()
    assert abs(null.mean() - np.mean(apart)) < 4 * np.hypot(stats.sem(null), stats.sem(apart))
    assert null.std() == pytest.approx(np.std(apart), rel=0.2)


def test_null_of_many_rows_is_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means of 400 draws within 4 s.e. of those in one block (chance 6e-5)."""
    p, _ = drawn(300, 1)
    which = classwise_bins(p)
    whole = classwise_null(p, which, np.random.default_rng(2), draws=400)
    monkeypatch.setattr(classwise_calibration, "_VALUES", 4 * 70)  # four blocks of 70 rows and one of 20
    blocks = classwise_null(p, which, np.random.default_rng(3), draws=400)
    assert abs(whole.mean() - blocks.mean()) < 4 * np.hypot(stats.sem(whole), stats.sem(blocks))
    assert blocks.std() == pytest.approx(whole.std(), rel=0.2)


@pytest.mark.parametrize("columns", [1, 2, 5, 8, 100])
def test_halving_counts_what_lies_below(columns: int) -> None:
    rng = np.random.default_rng(columns)
    sums = np.cumsum(rng.integers(0, 3, (40, columns)).astype(float), axis=1)  # with ties
    rows = rng.integers(0, 40, 200)
    limit = rng.integers(-1, int(sums.max()) + 2, 200).astype(float)
    brute = (sums[rows] <= limit[:, None]).sum(axis=1)
    np.testing.assert_array_equal(classwise_calibration._below(sums, rows, limit), brute)


def test_bins_stay_inside_the_predicted_class() -> None:
    p, _ = drawn(900, 2)
    sure, predicted = p.max(axis=1), p.argmax(axis=1)
    which = top_label_bins(sure, predicted)
    assert sorted(set(which.tolist())) == list(range(which.max() + 1))
    for b in range(which.max() + 1):
        assert len(set(predicted[which == b].tolist())) == 1
    one = predicted == 1
    assert (np.diff(np.unique(which[one], return_inverse=True)[1][np.argsort(sure[one])]) >= 0).all()


def test_the_planted_class_is_worst_and_one_figure_for_all_misses_it() -> None:
    """A third of what is predicted as the third class is not: about 12 % of the rows, so confidence in all is off by
    .04 or so, and in that class by about .2."""
    p, y = drawn(4000, 3, too_sure=0.33)
    sure, predicted = p.max(axis=1), p.argmax(axis=1)
    right = predicted == y
    errors = top_label_errors(sure, right, predicted, 4)
    assert worst(errors) == 2
    assert errors[2].low > 0.1
    assert all(e.low == 0 for k, e in enumerate(errors) if k != 2)
    assert worst(classwise_errors(p, y, classwise_bins(p))) in (0, 2)  # those rows' labels are the first class
    alone = calibration_error(sure, right, equal_mass_bins(sure))
    nested = calibration_error(sure, right, top_label_bins(sure, predicted))
    assert nested.value > 1.3 * alone.value


def accused(n: int, times: int) -> tuple[int, int]:
    """In how many calibrated draws any class at all is put above 0: (of those predicted, of all classes)."""
    predicted_ones = all_ones = 0
    for seed in range(times):
        p, y = drawn(n, seed)
        sure, predicted = p.max(axis=1), p.argmax(axis=1)
        predicted_ones += any(
            e.low is not None and e.low > 0 for e in top_label_errors(sure, predicted == y, predicted, 4)
        )
        all_ones += any(e.low > 0 for e in classwise_errors(p, y, classwise_bins(p)))
    return predicted_ones, all_ones


def test_no_class_of_a_calibrated_model_is_accused() -> None:
    """At most 2.5 % of 60 draws; chance 1e-4 each."""
    for hits in accused(600, 60):
        assert accept(60 - hits, 60, 0.975)


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1000, 5000])
def test_no_class_is_accused_at_length(n: int) -> None:
    """500 draws; wanted ≤ 3 %, as normal theory is approximate. Chance 1e-4 each."""
    for hits in accused(n, 500):
        assert accept(500 - hits, 500, 0.97)


def test_worst_goes_by_what_is_sure() -> None:
    p, y = drawn(400, 5)
    predicted = p.argmax(axis=1)
    errors = top_label_errors(p.max(axis=1), predicted == y, predicted, 6)
    assert [e.determined for e in errors[4:]] == [False, False]
    assert worst(errors[4:]) is None
    assert worst(errors) in range(4)


@pytest.mark.parametrize(("n", "classes"), [(1500, 150), (3000, 10)])
def test_over_many_bins_the_upper_end_holds(n: int, classes: int) -> None:
    """Each predicted class is off by an amount of its own. 60 draws; at 2.5 % more than 6 misses have a chance of 5e-4
    (fixed seeds). With variances no less than stated, a quarter of the 150 classes' missed and a tenth of the 10's."""
    off, missed = np.random.default_rng(99).normal(0, 0.1, classes), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        predicted, sure = rng.integers(classes, size=n), 1 - 0.7 * rng.beta(0.5, 10 if classes == 10 else 3, n)
        share = np.clip(sure - off[predicted], 0, 1)
        which = top_label_bins(sure, predicted)
        found = calibration_error(sure, rng.random(n) < share, which)
        size = np.bincount(which)
        truth = np.sqrt((np.bincount(which, weights=sure - share) ** 2 / size).sum() / n)
        missed += found.high is not None and found.high < truth
    assert missed <= 6
