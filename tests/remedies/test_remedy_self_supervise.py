"""self-supervise: the contract, its control on train alone, and what it can't do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork import BadInput, Split, Subject
from uncork.remedies.self_supervise import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train import self_supervised


@pytest.fixture
def subject(
    ground: Callable[..., Subject], digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Subject:
    """60 labelled digits and 200 without labels; 5 steps of contrast, 20 of training."""
    monkeypatch.setattr(self_supervised, "FEWEST", 5)
    monkeypatch.setattr(self_supervised, "EPOCHS", 1)
    x, y = digits
    recipe = ground().recipe.replace(epochs=10)
    train = Split(x[:60], y[:60])
    return ground().replace(train=train, recipe=recipe, unlabelled=Split(x[800:1000]))


def test_keeps_the_contract(case_of: Callable[..., Any], subject: Subject) -> None:
    check_remedy(apply, lambda: case_of(subject))


def test_its_control_sees_train_alone_for_as_long(case_of: Callable[..., Any], subject: Subject) -> None:
    case = case_of(subject)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    assert treated.train.unlabelled is subject.unlabelled
    assert control.train.unlabelled is None
    assert treated.train.steps == control.train.steps == 5
    # 5 steps of 2 · 256 rows beside 20 of 50.
    assert treated.compute == control.compute == pytest.approx(1 + 5 * 512 / (20 * 50))
    assert treated.amount == 200


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], subject: Subject) -> None:
    with pytest.raises(Unavailable, match="no unlabelled rows"):
        apply.apply(case_of(subject.replace(unlabelled=None)))
    with pytest.raises(BadInput, match="unlabelled is of type ndarray"):
        apply.apply(case_of(subject.replace(unlabelled=np.zeros((3, 64)))))
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        apply.apply(case_of(subject.replace(recipe=None)))
    with pytest.raises(Unavailable, match="a callable, whose net"):
        apply.apply(case_of(subject.replace(recipe=lambda train, seed: None)))
