"""faster-training: the batch of most rows a second, its rate scaled, where it is surely faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, subject_of

from uncork.remedies.faster_training import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.testing.training_step import training_step

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


@pytest.mark.parametrize(("optimizer", "times"), [("sgd", 2.0), ("adamw", 2**0.5)])
def test_the_rate_follows_the_batch(case_of: CaseOf, digits: Digits, optimizer: str, times: float) -> None:
    x, y = digits
    given = subject_of(SOUND.replace(batch_size=32, optimizer=optimizer, lr=0.01), x[:200], y[:200])
    treated = apply.apply(case_of(given, step=training_step(batch=1.8)))
    recipe = treated.subject.recipe
    assert (recipe.batch_size, recipe.epochs) == (64, SOUND.epochs)
    assert recipe.lr == pytest.approx(0.01 * times)
    assert "times as many rows a second (1." in treated.changes


def test_keeps_the_contract(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    given = subject_of(SOUND.replace(epochs=1, batch_size=32), x[:100], y[:100])
    check_remedy(apply, lambda: case_of(given, step=training_step(batch=1.8)))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    given = subject_of(SOUND.replace(epochs=1), x[:100], y[:100])
    with pytest.raises(Unavailable, match="audit with the probe wasted-compute"):
        apply.apply(case_of(given))
    with pytest.raises(Unavailable, match=r"surely 1\.25 times as fast"):
        apply.apply(case_of(given, step=training_step(batch=1.1)))
