"""rebalance: what train's shares cost where others are met is won back, on rows it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.models.adapt import adapt
from uncork.models.predictions import Predictions
from uncork.remedies.rebalance import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy


def normal(n: int, seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Two normal classes, ±1 apart from 0; `share`: of class 1."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return (1 - 2 * y + rng.normal(size=n))[:, None], y


def skewed(names: tuple[str, ...] | None = None) -> Subject:
    """A logistic regression of 50 to 1, and even validation."""
    x, y = normal(20_000, 0, 1 / 51)
    model = LogisticRegression(C=1e4).fit(x, y if names is None else np.array(names)[y])
    splits = {"train": Split(x, y), "validation": Split(*normal(2000, 1, 0.5))}
    return Subject(model, test=None, classes=names, **splits)


@pytest.mark.parametrize("names", [None, ("cat", "dog")])
def test_the_bayes_rule_for_even_shares_is_found(case_of: Callable[..., Any], names: tuple[str, ...] | None) -> None:
    """On 20,000 further even rows it errs within 5 per 1,000 of Φ(−1), the Bayes rule; before, for .42 of them."""
    treated = apply.apply(case_of(skewed(names=names), n_classes=2))
    x, y = normal(20_000, 2, 0.5)
    wrong = (treated.subject.model.outputs(x).logits.argmax(axis=1) != y).mean()
    assert wrong == pytest.approx(0.1587, abs=0.005 + 2.6e-3 * 3)
    assert (skewed().model.predict(x) != y).mean() > 0.35
    assert treated.compute == 0
    assert "2000 rows" in treated.changes


def test_columns_in_another_order_get_their_own_offset(case_of: Callable[..., Any]) -> None:
    """A retrained estimator's classes_ may be sorted as text: 10 before 2. Class 2 is rare in train."""
    rng = np.random.default_rng(0)
    y = np.arange(2200) % 11
    x = np.eye(11)[y] * 2 + rng.normal(size=(2200, 11))
    rare = (y != 2) | (np.arange(2200) < 60)
    names = tuple(str(c) for c in range(11))
    subject = Subject(
        LogisticRegression().fit(x[rare], y[rare].astype(str)),
        train=Split(x[rare], y[rare]),
        validation=Split(x, y),
        test=None,
    )
    treated = apply.apply(case_of(subject, n_classes=11))
    assert treated.subject.model.classes == names
    assert treated.subject.model.offset.argmax() == 2


@pytest.mark.parametrize("kind", ["estimator", "net"])
def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject], kind: str) -> None:
    subject = skewed()
    if kind == "net":
        whole = ground()
        few = (whole.train.y % 2 == 0) | (np.arange(500) < 40)
        train = whole.train.subset(few)
        subject = whole.replace(train=train, model=whole.recipe.fit(train, seed=0))
    check_remedy(apply, lambda: case_of(subject, n_classes=2 if kind == "estimator" else 10))


def test_the_control_is_the_model_before(case_of: Callable[..., Any]) -> None:
    case = case_of(skewed(), n_classes=2)
    assert apply.control(case, apply.apply(case)).subject is case.subject


def test_what_is_outside_the_given_rows_plays_no_part(case_of: Callable[..., Any]) -> None:
    subject = skewed()
    given = subject.replace(validation=subject.validation.subset(np.arange(1000)))
    x, y = (np.concatenate(pair) for pair in zip(normal(2000, 1, 0.5), normal(500, 9, 0.9), strict=True))
    again = subject.replace(validation=Split(x, y).subset(np.arange(1000)))
    first, second = (apply.apply(case_of(s, n_classes=2)).subject.model.offset for s in (given, again))
    np.testing.assert_array_equal(first, second)


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    subject = skewed()
    x = subject.validation.take(np.arange(2000))
    known = subject.replace(validation=Split(x, subject.model.predict(x)))
    with pytest.raises(Unavailable, match="no offset gains on 2000 rows"):
        apply.apply(case_of(known, n_classes=2))
    with pytest.raises(Unavailable, match="belong to classification"):
        apply.apply(case_of(ground(), task="regression"))
    for unknown in (subject.replace(train=None), Subject(Predictions(), test=None, validation=Split(*even()))):
        with pytest.raises(Unavailable, match="in train are not known"):
            apply.apply(case_of(unknown, n_classes=2))


def even() -> tuple[np.ndarray, np.ndarray]:
    return np.full((40, 2), 0.5), np.arange(40) % 2


def test_a_model_of_other_classes_is_refused(case_of: Callable[..., Any]) -> None:
    subject = skewed()
    x, _ = normal(90, 3, 0.5)
    three = subject.replace(model=LogisticRegression().fit(x, np.arange(90) % 3), classes=None)
    with pytest.raises(Unavailable, match="2 classes"):
        apply.apply(case_of(three, n_classes=2))


def test_adapted_again_it_is_itself(case_of: Callable[..., Any]) -> None:
    treated = apply.apply(case_of(skewed(), n_classes=2)).subject
    assert adapt(treated, "classification") is treated.model
