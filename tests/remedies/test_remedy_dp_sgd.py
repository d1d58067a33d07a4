"""dp-sgd: states what it spends, is refused where rows mix, and hides who was in train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, estimator, same_weights, subject_of
from torch import nn

from uncork import Subject
from uncork.remedies.dp_sgd import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train.augment import Noise
from uncork.train.private import Private

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
SHORT = SOUND.replace(epochs=2)


@pytest.fixture
def subject(digits: Digits) -> Subject:
    return subject_of(SHORT, digits[0][:400], digits[1][:400])


def test_it_states_what_it_spends(subject: Subject, case_of: CaseOf) -> None:
    treated = apply.apply(case_of(subject))
    spent = treated.subject.recipe.spent(400)
    assert str(spent) in treated.changes
    assert (spent.delta, spent.rate, spent.steps, spent.clip) == (0.1 / 400, 50 / 400, 16, 1.0)
    assert 7.5 < spent.epsilon <= 8
    with_augment = subject.replace(recipe=SHORT.replace(augment=Noise(0.1)))
    assert (
        apply.apply(case_of(with_augment)).changes == f"{treated.changes}; without the recipe's augment, which may "
        "mix rows"
    )


def test_the_control_is_the_recipe_as_it_is(subject: Subject, case_of: CaseOf) -> None:
    case = case_of(subject)
    control = apply.control(case, apply.apply(case))
    assert same_weights(control.train(control.subject, 5), SHORT.fit(subject.train, seed=5))


def test_keeps_the_contract(subject: Subject, case_of: CaseOf) -> None:
    check_remedy(apply, lambda: case_of(subject))


def test_it_says_why_it_can_not(subject: Subject, case_of: CaseOf, digits: Digits) -> None:
    normed = SHORT.replace(build=lambda: nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10)))
    for recipe, message in (
        (normed, "GroupNorm"),
        (Private(SHORT), "already"),
        (None, r"Recipe\(\.\.\.\)"),
    ):
        with pytest.raises(Unavailable, match=message):
            apply.apply(case_of(subject.replace(recipe=recipe)))
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, *(part[:200] for part in digits))))
