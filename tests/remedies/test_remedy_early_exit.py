"""early-exit: rows leave where they are sure, at most the tolerated share of them is harmed, and that is guaranteed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import estimator, subject_of
from torch import nn

from uncork import Metric, Recipe, Split, Subject
from uncork.models.early_exit import EarlyExit, RandomExit
from uncork.remedies.early_exit import apply
from uncork.schema.errors import Unavailable
from uncork.stats.selective import GRID
from uncork.testing.remedies import check_remedy
from uncork.train.early_exit import Told, certified, harmed

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


def deep() -> nn.Module:
    hidden = [part for _ in range(4) for part in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))


@pytest.fixture(scope="module")
def given(digits: Digits) -> Subject:
    x, y = digits
    recipe = Recipe(deep, epochs=12, batch_size=50, lr=3e-3)
    train, held = Split(x[:500], y[:500]), Split(x[500:1000], y[500:1000])
    metric = Metric("error", delta=10.0)
    model = recipe.fit(train, seed=0)
    return Subject(model, train=train, validation=held, test=None, recipe=recipe, metric=metric)


def test_sure_rows_leave_and_random_ones_pay_for_it(case_of: CaseOf, given: Subject, digits: Digits) -> None:
    case = case_of(given)
    treated = apply.apply(case)
    model, control = treated.subject.model, apply.control(case, treated).subject.model
    assert isinstance(model, EarlyExit)
    assert isinstance(control, RandomExit)
    found = model.certificate
    assert (found.limit, found.level, found.rows) == (0.01, 0.95, 500)
    x, y = digits[0][1000:], digits[1][1000:]
    logits, left = model.answers(x)
    random, at = control.answers(x)
    assert (left == 0).mean() > 0.5
    np.testing.assert_allclose(np.bincount(left) / len(x), np.bincount(at) / len(x), atol=0.1)
    whole = model.inner.outputs(x).logits.argmax(axis=1)
    harm = [((out.argmax(axis=1) != y) & (whole == y)).mean() for out in (logits, random)]
    assert harm[0] < 0.01  # .003 of 797
    assert harm[1] > 2 * harm[0]  # .010
    assert f"{found.harmed} of 500 were" in treated.changes


@pytest.mark.slow
def test_keeps_the_contract(case_of: CaseOf, given: Subject) -> None:
    check_remedy(apply, lambda: case_of(given))


def test_it_says_why_it_can_not(case_of: CaseOf, given: Subject, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match=r"5 of 1,000 rows are harmed can't be certified on 500 rows: 598 without"):
        apply.apply(case_of(given.replace(metric=Metric("error"))))
    with pytest.raises(Unavailable, match="only a torch module"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
    with pytest.raises(Unavailable, match="no train split"):
        apply.apply(case_of(given.replace(train=None)))
    with pytest.raises(Unavailable, match="a regression"):
        apply.apply(case_of(given, task="regression"))


def population(n: int) -> tuple[Told, np.ndarray]:
    """Heads that are as sure as they are right, but for a few per cent whose sureness says nothing."""
    rng = np.random.default_rng(0)
    sure = rng.beta(4, 1, size=(2, n))
    sure[1] = np.maximum(sure[1], rng.beta(6, 1, n))
    honest = rng.random((2, n)) < np.where(rng.random((2, n)) < 0.03, 0.5, sure)
    y = rng.integers(0, 2, n)
    decided = np.stack([*np.where(honest, y, 1 - y), np.where(rng.random(n) < 0.95, y, 1 - y)])
    return Told(sure, decided), y


@pytest.mark.slow
def test_the_limit_holds_as_often_as_promised() -> None:
    """Of 300 calibrations on 600 rows drawn from a population with replacement, at most 26 may break the limit: chance
    .003 at a true 5 %. The threshold that is within it on the rows themselves breaks it far oftener."""
    whole, y = population(20_000)
    limit = 0.05
    true = np.array([harmed(whole, y, threshold) for threshold in GRID]) / len(y)
    rng = np.random.default_rng(1)
    broken = plugged = some = 0
    for _ in range(300):
        at = rng.integers(0, len(y), 600)
        said = Told(whole.sure[:, at], whole.decided[:, at])
        found = certified(said, y[at], limit=limit, level=0.95)
        if found is not None:
            place = int(np.flatnonzero(found.threshold == GRID)[0])
            broken += true[place] > limit
            some += (said.left(found.threshold) < 2).any()
        counts = np.array([harmed(said, y[at], threshold) for threshold in GRID[::5]])
        plugged += true[::5][np.flatnonzero(counts <= limit * 600).max()] > limit
    assert some > 250
    assert broken <= 26
    assert plugged > 45
