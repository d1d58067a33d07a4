"""pseudo-label: sure rows join and help where labels are few, and none join where nothing is sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import BadInput, Split, Subject
from uncork.models.adapt import adapt
from uncork.remedies._contract import Treated
from uncork.remedies.pseudo_label import FEWEST, TRUSTED, apply, sure_from
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

LABELLED, UNLABELLED, NEW = slice(0, 60), slice(200, 1000), slice(1000, None)


@pytest.fixture(scope="module")
def shuffled(digits: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Writers stand in order: so that labelled and unlabelled rows are alike."""
    order = np.random.default_rng(2).permutation(len(digits[1]))
    return digits[0][order], digits[1][order]


@pytest.fixture(scope="module")
def subject(ground: Callable[..., Subject], shuffled: tuple[np.ndarray, np.ndarray]) -> Subject:
    """60 labelled digits and 800 without labels."""
    x, y = shuffled
    recipe = ground().recipe.replace(epochs=100)
    train = Split(x[LABELLED], y[LABELLED])
    return ground().replace(
        train=train, recipe=recipe, model=recipe.fit(train, seed=0), unlabelled=Split(x[UNLABELLED])
    )


def error(treated: Treated, shuffled: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean of three trainings, on 797 rows that took no part."""
    wrong = []
    for seed in (1, 2, 3):
        assert treated.train is not None
        model = adapt(treated.subject.replace(model=treated.train(treated.subject, seed)), "classification")
        wrong.append(np.mean(model.outputs(shuffled[0][NEW]).logits.argmax(axis=1) != shuffled[1][NEW]))
    return float(np.mean(wrong))


@pytest.mark.slow
def test_few_labels_go_further(
    case_of: Callable[..., Any], subject: Subject, shuffled: tuple[np.ndarray, np.ndarray]
) -> None:
    """Of 797 new rows .19 are wrong without and .14 with; over six shufflings the gain is .01 to .07, mean .036."""
    case = case_of(subject)
    treated = apply.apply(case)
    train = treated.subject.train
    x, y = shuffled
    assert len(train) == 60 + treated.amount
    assert treated.amount > 400
    known = {row.tobytes(): label for row, label in zip(x[UNLABELLED], y[UNLABELLED], strict=True)}
    rows = train.take(np.arange(60, len(train)))
    right = np.mean([known[row.tobytes()] == label for row, label in zip(rows, train.y[60:], strict=True)])
    assert right > 0.85
    np.testing.assert_array_equal(train.take(np.arange(60)), x[LABELLED])
    control = apply.control(case, treated)
    assert error(treated, shuffled) < error(control, shuffled) - 0.02
    assert control.subject.train is subject.train
    assert (treated.compute, apply.price(subject, 3)) == (5, 10)
    assert treated.train.settings == control.train.settings == {"steps": 200}


def test_labels_by_chance_teach_nothing(case_of: Callable[..., Any], subject: Subject) -> None:
    """10 classes at random: that 18 of the 20 surest are foretold by chance has odds of 10⁻¹⁵."""
    y = np.random.default_rng(0).integers(0, 10, 60)
    with pytest.raises(Unavailable, match="less than 90 % of train's labels"):
        apply.apply(case_of(subject.replace(train=subject.train.with_y(y))))


def test_rows_like_none_of_train_do_not_join(
    case_of: Callable[..., Any], digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """Two classes apart; unlabelled rows right between them get no confidence that train's rows needed."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = ((2 * y - 1) + rng.normal(scale=1.2, size=200))[:, None]

    def recipe(train: Split, seed: int) -> LogisticRegression:
        return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)

    train = Split(x, y)
    between = Subject(
        recipe(train, 0), test=None, train=train, validation=train, recipe=recipe, unlabelled=Split(np.zeros((50, 1)))
    )
    with pytest.raises(Unavailable, match="no unlabelled row is foretold"):
        apply.apply(case_of(between, n_classes=2))
    check_remedy(apply, lambda: case_of(between.replace(unlabelled=Split(3 * x)), n_classes=2))


def test_how_sure_is_sure() -> None:
    """By hand, and against every threshold that there is."""
    falling, right = np.linspace(0.9, 0.6, 31), np.arange(31) < 21
    assert sure_from(falling, right) == falling[22]  # 21 of 23 are right
    assert sure_from(falling[:19], right[:19]) is None  # too few
    assert sure_from(falling, ~right) is None
    assert sure_from(np.full(31, 0.9), right) is None  # equals: all or none
    rng = np.random.default_rng(0)
    for _ in range(20):
        confidence = np.round(rng.random(200), 2)
        right = rng.random(200) < 0.8 + 0.2 * confidence
        above = {c: right[confidence >= c] for c in np.unique(confidence)}
        able = [c for c, those in above.items() if those.mean() >= TRUSTED and len(those) >= FEWEST]
        assert sure_from(confidence, right) == (min(able) if able else None)


def test_keeps_the_contract(case_of: Callable[..., Any], subject: Subject) -> None:
    check_remedy(apply, lambda: case_of(subject))


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], subject: Subject) -> None:
    with pytest.raises(Unavailable, match="no unlabelled rows: give"):
        apply.apply(case_of(subject.replace(unlabelled=None)))
    with pytest.raises(BadInput, match="unlabelled is of type ndarray"):
        apply.apply(case_of(subject.replace(unlabelled=np.zeros((3, 64)))))
    with pytest.raises(Unavailable, match="classes, not of values"):
        apply.apply(case_of(subject, task="regression"))
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        apply.apply(case_of(subject.replace(recipe=None)))
