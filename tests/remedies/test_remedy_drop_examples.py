"""drop-examples: flags as confident learning does, keeps to lists, and is compared with random rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork import BadInput, Subject
from uncork.derived.label_errors import flagged
from uncork.models.adapt import adapt
from uncork.remedies.drop_examples import apply, listed
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.stats.confident import flag
from uncork.testing.pools import a_pool
from uncork.testing.remedies import check_remedy

TURNED = generator(0, "turned").permutation(500)[:100]  # as in conftest, at a share of .2


def test_flags_equal_cleanlabs_on_digits(noisy: Subject, probability: np.ndarray) -> None:
    from cleanlab.filter import find_label_issues

    theirs = find_label_issues(noisy.train.y, probability, filter_by="confident_learning", n_jobs=1)
    mine = flag(probability, noisy.train.y)
    assert np.mean(mine == theirs) >= 0.995
    turned = np.isin(np.arange(500), TURNED)
    assert mine[turned].mean() > 0.7
    assert mine[~turned].mean() < 0.1


def test_the_pools_models_are_asked_where_there_are_any(
    noisy: Subject, case_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained folds")

    monkeypatch.setattr("uncork.remedies._flagged.out_of_fold", never)
    pool = a_pool(500, 50, classes=10, flipped=0.2)
    train = noisy.train.with_y(pool.y)
    treated = apply.apply(case_of(noisy.replace(train=train), pool=pool))
    assert np.array_equal(treated.subject.train.ids, np.flatnonzero(~flagged(pool)))
    with pytest.raises(AssertionError, match="trained folds"):  # of other rows, it says nothing
        apply.apply(case_of(noisy, pool=pool))


def test_a_list_is_followed_to_the_letter(noisy: Subject, case_of: Callable[..., Any]) -> None:
    gone = [7, "12", np.int64(499)]
    treated = apply.apply(case_of(noisy, drop=gone))
    assert np.array_equal(treated.subject.train.ids, np.setdiff1d(np.arange(500), [7, 12, 499]))
    assert treated.amount == 3
    assert "listed" in treated.changes
    assert treated.train.settings["steps"] == noisy.recipe.steps(500)


def test_ids_of_the_users_own() -> None:
    known = np.array(["a-1", "a-2", "b-1"])
    assert listed(["b-1", "a-1"], known).tolist() == [True, False, True]
    with pytest.raises(BadInput, match=r"'c-9'.*no id of train.*'a-1'"):
        listed(["a-1", "c-9"], known)


def test_an_unknown_id_is_named(noisy: Subject, case_of: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match="'500'"):
        apply.apply(case_of(noisy, drop=[3, 500]))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (np.full((499, 10), 0.1), r"shape \(499, 10\).*\(500, 10\)"),
        (np.full((500, 9), 1 / 9), r"shape \(500, 9\)"),
        (np.zeros(500, int), r"shape \(500,\)"),
        (np.full((500, 10), 0.2), "row 0 is no distribution"),
        (np.where(np.arange(500)[:, None] == 7, np.nan, 0.1) * np.ones(10), "row 7 is no distribution"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(
    noisy: Subject, case_of: Callable[..., Any], given: np.ndarray, why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        apply.apply(case_of(noisy, out_of_fold=given))


@pytest.mark.parametrize(("drop", "why"), [([], "no row"), (list(range(500)), "every row")])
def test_nothing_and_everything_can_not_be_dropped(
    noisy: Subject, case_of: Callable[..., Any], drop: list[int], why: str
) -> None:
    with pytest.raises(Unavailable, match=why):
        apply.apply(case_of(noisy, drop=drop))


def test_the_control_drops_as_many_others_at_random(
    noisy: Subject, case_of: Callable[..., Any], probability: np.ndarray
) -> None:
    """100 random rows of 500 hold 20 turned labels, s.d. 3.6: more than 40 come by chance less than 1 time in 10⁶."""
    case = case_of(noisy, out_of_fold=probability)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    assert control.amount == treated.amount
    assert control.compute == treated.compute == 1  # the probabilities were there
    assert len(control.subject.train) == len(treated.subject.train)
    left = np.isin(TURNED, treated.subject.train.ids).sum(), np.isin(TURNED, control.subject.train.ids).sum()
    assert left[0] < 30
    assert left[1] > 60


def test_it_helps_where_labels_are_wrong(noisy: Subject, case_of: Callable[..., Any], probability: np.ndarray) -> None:
    """On 500 clean rows; the same seeds for remedy and control, so that the rows alone make the difference."""
    case = case_of(noisy, out_of_fold=probability)
    treated = apply.apply(case)
    errors = []
    for side in (treated, apply.control(case, treated)):
        subject = side.subject.replace(model=side.train(side.subject, 1))
        logits = adapt(subject, "classification").outputs(noisy.validation.take(np.arange(500))).logits
        errors.append(np.mean(logits.argmax(axis=1) != noisy.validation.y))
    assert errors[0] < errors[1] - 0.02


def test_without_evidence_it_trains_folds_of_its_own(noisy: Subject, case_of: Callable[..., Any]) -> None:
    treated = apply.apply(case_of(noisy))
    assert treated.compute == 1 + 4
    gone = np.setdiff1d(np.arange(500), treated.subject.train.ids)
    assert np.isin(gone, TURNED).mean() > 0.7
    assert np.isin(TURNED, gone).mean() > 0.7


@pytest.mark.parametrize("evidence", ["listed", "folds"])
def test_keeps_the_contract(
    noisy: Subject, case_of: Callable[..., Any], probability: np.ndarray, evidence: str
) -> None:
    given: dict[str, Any] = {"drop": TURNED.tolist()} if evidence == "listed" else {"out_of_fold": probability}
    check_remedy(apply, lambda: case_of(noisy, **given))


def test_a_callable_recipe(noisy: Subject, case_of: Callable[..., Any]) -> None:
    from sklearn.linear_model import LogisticRegression

    def recipe(train: Any, seed: int) -> LogisticRegression:
        return LogisticRegression(max_iter=100).fit(train.take(np.arange(len(train))), train.y)

    subject = noisy.replace(recipe=recipe, model=recipe(noisy.train, 0))
    check_remedy(apply, lambda: case_of(subject, drop=TURNED.tolist()))
    assert len(apply.apply(case_of(subject)).subject.train) < 450


def test_a_regression_takes_a_list_only(noisy: Subject, case_of: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="give a list"):
        apply.apply(case_of(noisy, task="regression"))


def test_without_recipe_nothing_is_trained(noisy: Subject, case_of: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="Recipe"):
        apply.apply(case_of(noisy.replace(recipe=None), drop=[1]))
