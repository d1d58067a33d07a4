"""regularise: more weight decay where it gains on held-out rows, as much as the oracle would take, else none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, error, estimator, recovered, same_weights, subject_of

from uncork import Split, Subject
from uncork.derived.arms import confirmed
from uncork.remedies import _recipe
from uncork.remedies.regularise import apply
from uncork.schema.errors import Unavailable
from uncork.testing.pools import a_pool
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
#: A large rate and no decay, on labels of which a fifth is wrong: they are learnt by heart.
OVERFIT = SOUND.replace(epochs=40, lr=3e-2, weight_decay=0.0)


@pytest.fixture(scope="module")
def overfit(ground: Callable[..., Subject]) -> Subject:
    return ground(0.2).replace(recipe=OVERFIT, model=OVERFIT.make())


@pytest.mark.slow
def test_it_recovers_what_the_best_decay_gains(overfit: Subject, case_of: CaseOf, digits: Digits) -> None:
    """The oracle tries 5 decays on the fresh rows themselves. Over 3 seeds it gains .10, s.d. .009, and of that .77 is
    recovered, s.d. .04."""
    x, y = (values[1000:] for values in digits)
    treated = apply.apply(case_of(overfit))
    before = error(OVERFIT, overfit.train, x, y)
    oracle = min(error(OVERFIT.decayed(times), overfit.train, x, y) for times in (3, 10, 30, 100, 300))
    assert before - oracle > 0.05
    assert recovered(before, error(treated, overfit.train, x, y), oracle) > 0.65


def test_the_audits_confirmed_arm_is_taken_without_searching(
    overfit: Subject, case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(_recipe, "fit", never)
    pool = a_pool(500, 50, classes=10, arms={"decay-x30": -0.05}, confirmed=("decay-x30",))
    treated = apply.apply(case_of(overfit, pool=pool))
    assert treated.subject.recipe == OVERFIT.replace(weight_decay=30 * 0.01)
    assert treated.compute == 1
    with pytest.raises(AssertionError, match="searched"):  # what did not gain at half size is not taken on trust
        apply.apply(case_of(overfit, pool=a_pool(500, 50, classes=10, arms={"decay-x30": 0.05})))


def test_an_arm_that_loses_at_full_size_confirms_nothing(overfit: Subject, case_of: CaseOf) -> None:
    """At half size it gains; the full-size models with and without it are swapped, so that it loses there."""
    gains = a_pool(500, 500, classes=10, arms={"decay-x30": -0.05}, confirmed=("decay-x30",))
    plain, changed = gains.pairs(1, "decay-x30")
    outputs = gains.on_validation.copy()
    outputs[plain], outputs[changed] = gains.on_validation[changed], gains.on_validation[plain]
    loses = dataclasses.replace(gains, on_validation=outputs)
    metric = overfit.metric
    assert confirmed(gains, metric, "regularisation").gain.value > 0
    assert confirmed(loses, metric, "regularisation").gain.value < 0
    treated = apply.apply(case_of(overfit, pool=loses))
    assert treated.changes == apply.apply(case_of(overfit)).changes
    assert "chosen by the loss on a fifth of train" in treated.changes
    assert treated.compute == 4


@pytest.mark.slow
def test_the_search_sees_train_alone_and_is_counted(overfit: Subject, case_of: CaseOf) -> None:
    other = overfit.replace(validation=Split(np.zeros((20, 64), np.float32), np.zeros(20, int)))
    first, second = (apply.apply(case_of(subject)) for subject in (overfit, other))
    assert first.changes == second.changes
    assert first.compute == 4
    assert apply.price(overfit, 3) == 9
    control = apply.control(case_of(overfit), first)
    assert same_weights(control.train(control.subject, 5), OVERFIT.fit(overfit.train, seed=5))


def test_keeps_the_contract(overfit: Subject, case_of: CaseOf) -> None:
    check_remedy(apply, lambda: case_of(overfit))


def test_it_says_why_it_can_not(overfit: Subject, case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="neither 10 nor 30 times"):  # too short to learn anything by heart
        apply.apply(case_of(subject_of(SOUND.replace(epochs=2, weight_decay=1.0), x[:500], y[:500])))
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
    with pytest.raises(Unavailable, match=r"Recipe\(\.\.\.\)"):
        apply.apply(case_of(overfit.replace(recipe=None)))
