"""precondition: trains with the optimiser that came out best, in the recipe's wall time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, same_weights, subject_of

from uncork.remedies.precondition import apply
from uncork.schema.errors import Unavailable
from uncork.testing.descents import descents
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


def test_it_trains_with_what_was_found(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    case = case_of(subject_of(SOUND.replace(epochs=2), x[:200], y[:200]), descents=descents())
    treated = apply.apply(case)
    assert (treated.subject.recipe.optimizer, treated.subject.recipe.lr) == ("muon", 3e-3)
    assert treated.train.settings == {"steps": 50}
    assert treated.changes.startswith("muon at a learning rate of 0.003 instead of")
    trained, again = (treated.train(treated.subject, 1) for _ in range(2))
    assert same_weights(trained, again)
    assert apply.control(case, treated).subject.recipe is case.subject.recipe


def test_keeps_the_contract(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    given = subject_of(SOUND.replace(epochs=1), x[:100], y[:100])
    check_remedy(apply, lambda: case_of(given, descents=descents()))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    given = subject_of(SOUND.replace(epochs=1), x[:100], y[:100])
    alone = dataclasses.replace(descents(), finalists=np.array([0]))
    for artifacts in ({}, {"descents": alone}):
        with pytest.raises(Unavailable, match="no other optimiser was tried"):
            apply.apply(case_of(given, **artifacts))
