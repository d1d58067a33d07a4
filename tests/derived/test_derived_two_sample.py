"""How well two splits are told apart: brute force, coverage where they are alike, the ends of the range."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from uncork.derived.two_sample import effect
from uncork.schema.artifacts import TwoSampleData
from uncork.stats.stratified import hidden_variance, standardised, stratified_auc
from uncork.testing.artifacts import a_two_sample


def test_by_pairs() -> None:
    """Ties count half; rows of another class or fold are never compared."""
    data = dataclasses.replace(a_two_sample(60, 40), score=np.random.default_rng(0).integers(5, size=100) / 4)
    folds = []
    for fold in (0, 1):
        total = won = 0.0
        for c in range(3):
            own = (data.fold == fold) & (data.y == c)
            new, old = data.score[own & data.new], data.score[own & ~data.new]
            pairs = (new[:, None] > old) + 0.5 * (new[:, None] == old)
            weight = len(new) * len(old) / (len(new) + len(old))
            won, total = won + weight * pairs.mean(), total + weight
        folds.append(won / total)
    assert effect(data, "classification").value == pytest.approx(np.mean(folds))
    one = stratified_auc(data.score, data.new, np.zeros(100, int))[0]
    assert one == pytest.approx(stats.mannwhitneyu(data.score[data.new], data.score[~data.new]).statistic / 2400)


def test_influences_are_those_of_a_jackknife() -> None:
    """Leaving a row out moves the AUC by its influence over n − 1, but for how DeLong scales the two sides."""
    data = a_two_sample(300, 200, apart=0.7)
    value, each = stratified_auc(data.score, data.new, np.zeros(500, np.int64))
    assert each.mean() == pytest.approx(0, abs=1e-12)
    left = [stratified_auc(np.delete(data.score, i), np.delete(data.new, i), np.zeros(499, int))[0] for i in range(500)]
    np.testing.assert_allclose(value - np.array(left), each / 499, rtol=0.01, atol=1e-6)


def test_variances_of_classes_add_up() -> None:
    """Of independent classes with known weights: Σ weight² variance."""
    data, squares, total = a_two_sample(300, 200, apart=0.7, classes=4), 0.0, 0.0
    for c in range(4):
        own = data.y == c
        m, n = (int((data.new[own] == side).sum()) for side in (True, False))
        each = stratified_auc(data.score[own], data.new[own], np.zeros(own.sum(), int))[1]
        squares += (m * n / (m + n)) ** 2 * np.square(each).sum() / (len(each) * (len(each) - 1))
        total += m * n / (m + n)
    each = stratified_auc(data.score, data.new, data.y)[1]
    assert np.square(each).sum() / (500 * 499) == pytest.approx(squares / total**2)


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("groups", [1, 5])
def test_covers(apart: float, groups: int) -> None:
    """Folds are independent here, so that ends averaged as if they were one cover 99 %. At a true 95 %, 200 cover less
    often than the region's end with a chance of 1 in 1,000 (fixed seeds)."""
    truth, covered = stats.norm.cdf(apart / np.sqrt(2)), 0
    for seed in range(200):
        data = a_two_sample(400, 200, apart=apart, seed=seed)
        if groups > 1:
            own = np.arange(600) // groups
            shared = np.random.default_rng(seed).normal(size=600)[own]
            score = np.sqrt(0.5) * (data.score - apart * data.new + shared) + apart * data.new
            data = dataclasses.replace(data, clusters=own, fold=own % 2, score=score)
        found = effect(data, "classification" if groups == 1 else "regression")
        covered += found.low <= truth <= found.high
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)


@pytest.mark.parametrize("groups", [1, 4])
def test_splits_that_share_nothing(groups: int) -> None:
    data = a_two_sample(200, 80, apart=1000, clusters=np.arange(280) // groups)
    found = effect(data, "classification")
    assert found.value == found.high == 1
    assert 0.6 < found.low < 1


def test_too_few_rows() -> None:
    def of(n: int, v: int) -> TwoSampleData:
        return dataclasses.replace(a_two_sample(n, v), fold=np.arange(n + v) % 2)

    assert effect(of(3, 3), "classification").value is None
    few = effect(of(400, 8), "regression")
    assert few.value is not None
    assert not few.determined
    # A class that only one split has is left out, and the others decide.
    data = of(400, 400)
    data = dataclasses.replace(data, y=np.where(data.new, data.y, np.minimum(data.y, 1)))
    assert effect(data, "classification").n < 800


def test_standardised_by_hand() -> None:
    old, strata = np.array([1.0, 3, 10, 20]), np.array([0, 0, 2, 2])
    first, second = standardised(old, strata, np.array([5.0, 7, 9, 11]), np.array([2, 2, 2, 0]))
    assert first.mean() == pytest.approx(0.25 * 2 + 0.75 * 15)
    assert second.mean() == pytest.approx(8)
    np.testing.assert_allclose(second - second.mean(), np.array([5 - 15, 7 - 15, 9 - 15, 11 - 2]) - (8 - 11.75))
    # The first one's mean varies by Σ share² s² / n of the classes; 4 / 3 is `mean`'s own factor n / (n − 1).
    of_classes = 0.25**2 * 2 / 2 + 0.75**2 * 50 / 2
    assert np.square(first - first.mean()).sum() / 16 == pytest.approx(of_classes)
    # Each class has 1 d.f.; the first one's 2 is moderated by the pooled 26 as if by 20 rows.
    hidden = hidden_variance(old, strata, np.array([2, 2, 2, 0]))
    assert hidden == pytest.approx(0.25**2 / 2 * 20 / 21 * (26 - 2))
