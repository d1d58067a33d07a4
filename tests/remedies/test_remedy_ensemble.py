"""ensemble: five trainings answer as one, better than one on new rows, and alike ones no better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import log_loss
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.models.adapt import adapt
from uncork.models.ensemble import Ensemble
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Treated
from uncork.remedies.ensemble import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy


def made(treated: Treated, seed: int = 0) -> Any:
    assert treated.train is not None
    return treated.train(treated.subject, seed)


def narrow() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def test_the_mean_does_better_on_new_rows_than_its_members(
    case_of: Callable[..., Any], ground: Callable[..., Subject], digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """Nets of 8 hidden units on 100 rows depend on their seed; on 797 rows that nothing has touched, s.d. .02."""
    train, new = ground().train.subset(np.arange(100)), Split(digits[0][1000:], digits[1][1000:])
    subject = ground().replace(train=train, recipe=Recipe(narrow, epochs=30, batch_size=50, lr=5e-2))
    treated = apply.apply(case_of(subject))
    model = made(treated)
    assert isinstance(model, Ensemble)
    assert len({member.fingerprint() for member in model.models}) == 5
    rows = new.take(np.arange(len(new)))
    alone = [np.mean(m.outputs(rows).logits.argmax(axis=1) != new.y) for m in model.models]
    assert np.mean(model.outputs(rows).logits.argmax(axis=1) != new.y) < np.mean(alone) - 0.07
    losses = [log_loss(subject.replace(model=m), new).mean() for m in (model, *model.models)]
    assert losses[0] < np.mean(losses[1:]) - 0.2
    assert (treated.compute, apply.price(subject, 3)) == (5, 30)
    assert "5 times the latency" in treated.changes


def test_members_come_of_the_seed(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    subject = ground()
    treated = apply.apply(case_of(subject.replace(recipe=subject.recipe.replace(epochs=1))))
    one, same, other = (made(treated, seed) for seed in (0, 0, 1))
    prints = [{m.fingerprint() for m in model.models} for model in (one, same, other)]
    assert prints[0] == prints[1]
    assert not prints[0] & prints[2]


def test_the_control_is_one_model_of_five_times_the_steps(
    case_of: Callable[..., Any], ground: Callable[..., Subject]
) -> None:
    case = case_of(ground())
    control = apply.control(case, apply.apply(case))
    assert control.train.settings == {"steps": 5 * case.subject.recipe.steps(500)}
    assert "5 times as many steps" in control.changes


def linear(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression(max_iter=100).fit(train.take(np.arange(len(train))), train.y)


def test_trainings_that_agree_gain_nothing(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    """A recipe without luck: the mean of five answers as one does, to rounding."""
    subject = ground().replace(recipe=linear, model=linear(ground().train, 0))
    case = case_of(subject)
    treated = apply.apply(case)
    assert apply.control(case, treated).compute == 1  # its steps can't be set
    model, rows = made(treated), subject.validation.take(np.arange(500))
    one = adapt(subject, "classification").outputs(rows).logits
    np.testing.assert_allclose(model.outputs(rows).logits, log_softmax(one, axis=1), atol=1e-4)


def test_values_of_a_regression_are_averaged(case_of: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    split = Split(x, x[:, 0] + x[:, 1])

    def half(train: Split, seed: int) -> Ridge:
        rows = np.random.default_rng(seed).permutation(len(train))[:30]
        return Ridge().fit(train.take(rows), train.y[rows])

    subject = Subject(half(split, 0), test=None, train=split, validation=split, recipe=half, metric="rmse")
    model = made(apply.apply(case_of(subject, task="regression", n_classes=1)))
    each = [m.outputs(x).logits for m in model.models]
    np.testing.assert_allclose(model.outputs(x).logits, np.mean(each, axis=0))


def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    subject = ground()
    check_remedy(apply, lambda: case_of(subject.replace(recipe=subject.recipe.replace(epochs=2))))


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    subject = ground()
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        apply.apply(case_of(subject.replace(recipe=None)))
    cooled = subject.replace(model=Tempered(adapt(subject, "classification"), 2.0))
    with pytest.raises(Unavailable, match=r"training again would undo: .* alone after --remedies"):
        apply.apply(case_of(cooled))
