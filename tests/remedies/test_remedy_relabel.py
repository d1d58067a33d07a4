"""relabel: labels that are brought are taken to the letter; made up ones are mostly right, and fewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import error, estimator, same_weights, subject_of

from uncork import BadInput, Split, Subject
from uncork.remedies.relabel import apply, corrected, likelier
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.stats.confident import flag, thresholds
from uncork.testing.pools import a_pool
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
TURNED = generator(0, "turned").permutation(500)[:100]  # as in conftest, at a share of .2


def test_the_labels_that_are_brought_undo_the_fault(noisy: Subject, case_of: CaseOf, digits: Digits) -> None:
    """What is trained is, bit for bit, what clean labels train."""
    truth = digits[1][:500]
    treated = apply.apply(case_of(noisy, labels={str(i): truth[i] for i in TURNED}))
    assert np.array_equal(treated.subject.train.y, truth)
    assert (treated.amount, treated.compute) == (100, 1)
    assert "100 rows (20.0 %) of train labelled anew, as given" in treated.changes
    assert apply.price(noisy, 3) == 10
    clean = noisy.recipe.fit(noisy.train.with_y(truth), seed=4)
    assert same_weights(treated.train(treated.subject, 4), clean)


@pytest.mark.slow
def test_most_of_what_it_makes_up_is_right_and_it_helps(
    noisy: Subject, case_of: CaseOf, digits: Digits, probability: np.ndarray
) -> None:
    """Over seeds of the forest .83 of what it changes is right, s.d. .04, and .08 of train stays wrong, s.d. .008; with
    6 seeds of the net it then errs .012 less, s.d. .005."""
    x, truth = digits
    case = case_of(noisy, out_of_fold=probability)
    treated = apply.apply(case)
    before, after = noisy.train.y, treated.subject.train.y
    changed = before != after
    assert np.mean(after[changed] == truth[:500][changed]) > 0.7
    assert np.mean(after != truth[:500]) < 0.55 * 0.2
    sides = (treated, apply.control(case, treated))
    relabelled, as_it_was = (error(side, noisy.train, x[1000:], truth[1000:], range(6)) for side in sides)
    assert relabelled < as_it_was


def test_only_sure_flags_are_followed(probability: np.ndarray, noisy: Subject) -> None:
    y = noisy.train.y
    new = likelier(probability, y)
    changed = np.flatnonzero(new != y)
    brute = [
        i
        for i in np.flatnonzero(flag(probability, y))
        if probability[i].max() >= thresholds(probability, y)[probability[i].argmax()]
    ]
    assert changed.tolist() == brute
    assert np.array_equal(new[changed], probability[changed].argmax(axis=1))
    # The likeliest class falls short of its threshold, .9, the second reaches its own: flagged, and left alone.
    three = np.array([[0.9, 0.05, 0.05], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 2, 2])
    assert flag(three, labels).tolist() == [False, True, True, False]
    assert likelier(three, labels).tolist() == [0, 2, 2, 2]


def test_the_pools_models_are_asked_where_there_are_any(
    noisy: Subject, case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained folds")

    monkeypatch.setattr("uncork.remedies._flagged.out_of_fold", never)
    pool = a_pool(500, 50, classes=10, flipped=0.2)
    treated = apply.apply(case_of(noisy.replace(train=noisy.train.with_y(pool.y)), pool=pool))
    truth = np.arange(500) % 10
    assert np.mean(treated.subject.train.y != truth) < 0.05
    with pytest.raises(AssertionError, match="trained folds"):
        apply.apply(case_of(noisy, pool=pool))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({500: 1}, r"'500', which is no id of train: ids look like '0'"),
        ({3: 10}, r"holds 10 in row 0, but the classes are '0'"),
        ({3: 1, 4: "cat"}, "holds 1 in row 0, which fits neither strings nor numbers"),
        ([3], r"of type list: give \{id: label\}"),
    ],
)
def test_labels_that_do_not_fit_are_refused(noisy: Subject, case_of: CaseOf, given: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        apply.apply(case_of(noisy, labels=given))


def test_names_and_numbers() -> None:
    train = Split(np.zeros((3, 1)), np.array([0, 1, 1]), ids=["a", "b", "c"])
    assert corrected({"c": "cat"}, train, ("cat", "dog"), "classification").tolist() == [0, 1, 0]
    heights = train.with_y(np.array([0.5, 1.0, 2.0]))
    assert corrected({"a": 3}, heights, (), "regression").tolist() == [3.0, 1.0, 2.0]
    with pytest.raises(BadInput, match="a regression takes numbers"):
        corrected({"a": "tall"}, heights, (), "regression")


@pytest.mark.parametrize("evidence", ["given", "folds"])
def test_keeps_the_contract(
    noisy: Subject, case_of: CaseOf, digits: Digits, probability: np.ndarray, evidence: str
) -> None:
    labels = {i: digits[1][i] for i in TURNED}
    given: dict[str, Any] = {"labels": labels} if evidence == "given" else {"out_of_fold": probability}
    check_remedy(apply, lambda: case_of(noisy, **given))


def test_a_callable_recipe(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    subject = subject_of(estimator, x[:300], y[:300])
    check_remedy(apply, lambda: case_of(subject, labels={i: (y[i] + 1) % 10 for i in range(50)}))


def test_it_says_why_it_can_not(noisy: Subject, case_of: CaseOf) -> None:
    with pytest.raises(Unavailable, match="no label of train changes as given"):
        apply.apply(case_of(noisy, labels={}))
    with pytest.raises(Unavailable, match="no label of train changes by out-of-fold"):
        apply.apply(case_of(noisy, out_of_fold=np.eye(10)[noisy.train.y]))
    with pytest.raises(Unavailable, match="the finding's examples show which look wrong"):
        apply.apply(case_of(noisy.replace(recipe=None)))
    with pytest.raises(Unavailable, match="class probabilities"):
        apply.apply(case_of(noisy, task="regression"))
