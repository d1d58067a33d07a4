"""early-stop: it stops where fresh rows would have it stop, and not where there is nothing to stop before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, error, estimator, recovered, subject_of

from uncork import Split, Subject
from uncork.remedies.early_stop import apply, best_steps
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train.loop import fit

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
LONG = SOUND.replace(epochs=40, lr=3e-2, weight_decay=0.0)


@pytest.fixture(scope="module")
def overfit(ground: Callable[..., Subject]) -> Subject:
    return ground(0.2).replace(recipe=LONG, model=LONG.make())


@pytest.mark.slow
def test_it_recovers_what_the_best_stop_gains(overfit: Subject, case_of: CaseOf, digits: Digits) -> None:
    """The oracle tries 5 lengths on the fresh rows themselves. Over 3 seeds it gains .08, s.d. .002, and of that .99 is
    recovered, s.d. .04."""
    x, y = (values[1000:] for values in digits)
    treated = apply.apply(case_of(overfit))
    before = error(LONG, overfit.train, x, y)
    oracle = min(error(LONG.replace(epochs=e), overfit.train, x, y) for e in (3, 6, 9, 14, 20))
    assert before - oracle > 0.05
    assert recovered(before, error(treated, overfit.train, x, y), oracle) > 0.8


def test_the_best_epoch_is_brute_force_s(overfit: Subject) -> None:
    """With a constant rate runs that are cut are the longer run's beginnings."""
    constant = LONG.replace(schedule="constant", epochs=30)
    train, held = overfit.train.subset(np.arange(400)), overfit.train.subset(np.arange(400, 500))
    best, taken = best_steps(constant, train, held, 240, 3, None)
    cut = [fit(constant, train, seed=3, steps=8 * e, validation=held).validation_loss[-1] for e in range(1, 31, 3)]
    whole = fit(constant, train, seed=3, steps=240, validation=held).validation_loss
    assert whole[::3] == cut
    assert best == 8 * (1 + int(np.argmin(whole)))
    assert taken == best + 8 * 7  # a quarter of 30 epochs later


def test_all_of_train_is_used_in_the_end_and_the_search_is_counted(overfit: Subject, case_of: CaseOf) -> None:
    other = overfit.replace(validation=Split(np.zeros((20, 64), np.float32), np.zeros(20, int)))
    treated, again = (apply.apply(case_of(subject)) for subject in (overfit, other))
    assert treated.subject.train is overfit.train
    assert treated.changes == again.changes
    epochs = treated.subject.recipe.epochs
    assert treated.subject.recipe == LONG.replace(epochs=epochs)
    assert epochs / 40 < treated.compute < 3 + epochs / 40
    assert f"{epochs} epochs instead of 40" in treated.changes


def test_keeps_the_contract(overfit: Subject, case_of: CaseOf) -> None:
    check_remedy(apply, lambda: case_of(overfit))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="falls to the end"):
        apply.apply(case_of(subject_of(SOUND.replace(epochs=5, lr=1e-3), x[:500], y[:500])))
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
