"""average-weights: it stands in for a rate that should have fallen, at the price of one training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, error, estimator, recovered, same_weights, subject_of

from uncork import Subject
from uncork.models.adapt import as_model
from uncork.models.offset import Offset
from uncork.remedies.average_weights import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train.loop import fit

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
#: A large rate that never falls, and small batches: the weights wander around where they should be.
RESTLESS = SOUND.replace(schedule="constant", lr=3e-2, batch_size=8, epochs=4)


@pytest.mark.slow
def test_it_recovers_what_a_falling_rate_gains(case_of: CaseOf, digits: Digits, ground: Callable[..., Subject]) -> None:
    """A fifth of the labels is wrong, so that the weights never come to rest.

    Over 4 seeds a falling rate gains .05, s.d. .012, and 1.25 times that is recovered, s.d. .2: some 2 s.d. of margin.
    """
    x, y = digits
    case = case_of(ground(0.2).replace(recipe=RESTLESS))
    treated, train, fresh = apply.apply(case), case.subject.train, (x[1000:], y[1000:])
    falling = RESTLESS.replace(schedule="cosine")
    before, oracle = (error(recipe, train, *fresh, range(4)) for recipe in (RESTLESS, falling))
    assert before - oracle > 0.02
    assert recovered(before, error(treated, train, *fresh, range(4)), oracle) > 0.8


def test_it_does_no_harm_where_the_rate_falls(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    case = case_of(subject_of(SOUND.replace(epochs=15), x[:500], y[:500]))
    treated, train, fresh = apply.apply(case), case.subject.train, (x[1000:], y[1000:])
    # The mean over 3 seeds has a s.d. of .0015 about −.001.
    assert abs(error(treated, train, *fresh) - error(case.subject.recipe, train, *fresh)) < 0.005


def test_it_costs_one_training_as_its_control_does(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    case = case_of(subject_of(RESTLESS, x[:200], y[:200]))
    treated = apply.apply(case)
    control = apply.control(case, treated)
    assert treated.compute == control.compute == 1
    assert "last 25 of 100 steps" in treated.changes
    plain, averaged = (side.train(side.subject, 3) for side in (control, treated))
    assert same_weights(plain, RESTLESS.fit(case.subject.train, seed=3))
    assert same_weights(averaged, fit(RESTLESS, case.subject.train, seed=3, average=0.25).module)


def test_keeps_the_contract(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    check_remedy(apply, lambda: case_of(subject_of(RESTLESS, x[:200], y[:200])))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
    subject = subject_of(SOUND, x[:200], y[:200])
    model = as_model(subject.model, "classification")
    model.outputs(x[:2])
    with pytest.raises(Unavailable, match="would undo"):
        apply.apply(case_of(subject.replace(model=Offset(model, np.zeros(10)))))
