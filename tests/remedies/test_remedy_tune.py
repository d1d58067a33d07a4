"""tune: a planted learning rate is undone, nothing is promised where nothing is mistuned."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork import Subject
from uncork.models.adapt import adapt
from uncork.remedies import tune
from uncork.remedies._contract import Case, Treated
from uncork.remedies.tune import TRIALS, apply, searched
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.testing.pools import a_pool
from uncork.testing.remedies import check_remedy

pytest.importorskip("optuna")


def planted(ground: Callable[..., Subject], times: float) -> Subject:
    """The recipe with a learning rate so many times as large."""
    subject = ground()
    return subject.replace(recipe=subject.recipe.replace(lr=times * subject.recipe.lr))


def error(treated: Treated, digits: tuple[np.ndarray, np.ndarray], seed: int = 5) -> float:
    """On 797 rows that took no part."""
    assert treated.train is not None
    model = adapt(treated.subject.replace(model=treated.train(treated.subject, seed)), "classification")
    return float(np.mean(model.outputs(digits[0][1000:]).logits.argmax(axis=1) != digits[1][1000:]))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1 / 30, 30])
def test_a_planted_rate_is_undone(
    case_of: Callable[..., Any], ground: Callable[..., Subject], digits: tuple[np.ndarray, np.ndarray], times: float
) -> None:
    """It errs for .40 and .73, without the fault for .085; at least nine tenths of the gap are closed."""
    subject = planted(ground, times)
    case = case_of(subject)
    treated = apply.apply(case)
    as_it_was = apply.control(case, Treated(subject, "", compute=1))
    before, right = error(as_it_was, digits), error(apply.control(case_of(ground()), as_it_was), digits)
    assert before - right > 0.25
    assert error(treated, digits) < right + 0.1 * (before - right)
    found = treated.subject.recipe
    assert f"{found.lr:.3g} instead of {subject.recipe.lr:.3g}" in treated.changes
    assert treated.compute == 1 + searched(subject.recipe)


@pytest.mark.slow
def test_a_good_recipe_is_not_harmed(
    case_of: Callable[..., Any], ground: Callable[..., Subject], digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """What is found is no worse than .03 on 797 new rows, three times the s.e. of the difference."""
    case = case_of(ground())
    treated = apply.apply(case)
    before = apply.control(case, Treated(case.subject, "", compute=1))
    assert error(treated, digits) < error(before, digits) + 0.03


def spied(monkeypatch: pytest.MonkeyPatch, loss: Callable[[Any], float]) -> list[list[Any]]:
    """The recipes of each round; nothing is trained, and each has the loss that is given for it."""
    rounds: list[list[Any]] = []

    def judged(case: Case, recipes: list[Any]) -> list[float]:
        rounds.append(list(recipes))
        return [loss(recipe) for recipe in recipes]

    monkeypatch.setattr(tune, "held_out_losses", judged)
    return rounds


def test_halving_and_warm_start(
    case_of: Callable[..., Any], ground: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 short trainings, of which the first two are the recipe and what the audit found; then 4 whole ones."""
    recipe = ground().recipe
    rounds = spied(monkeypatch, lambda r: abs(np.log(r.lr / (20 * recipe.lr))))
    pool = a_pool(500, 500, arms={"lr-over-8": 0.02, "lr-x8": -0.05}, confirmed=("lr-x8",))
    treated = apply.apply(case_of(ground(), pool=pool))
    assert [len(r) for r in rounds] == [4, 4, 4, 4]
    assert {r.epochs for r in rounds[0]} == {7}
    assert {r.epochs for r in rounds[3]} == {30}
    assert [r.lr / recipe.lr for r in rounds[0][:2]] == pytest.approx([1, 8])
    assert rounds[3][0] == recipe
    short = sorted((r for batch in rounds[:3] for r in batch), key=lambda r: abs(np.log(r.lr / (20 * recipe.lr))))
    assert treated.subject.recipe.lr == pytest.approx(short[0].lr)
    assert searched(recipe) == TRIALS * 7 / 30 + 4
    assert apply.price(ground(), 3) == searched(recipe) + 3 * (2 + searched(recipe))


def test_where_the_recipe_wins_it_stays(
    case_of: Callable[..., Any], ground: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ground().recipe
    spied(monkeypatch, lambda r: 0.0 if r.lr == recipe.lr else float("inf"))
    with pytest.raises(Unavailable, match="none of 11 other settings"):
        apply.apply(case_of(ground()))


def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    subject = ground().replace(recipe=ground().recipe.replace(epochs=4, lr=1e-4))
    check_remedy(apply, lambda: case_of(subject))


def test_it_says_why_it_can_do_nothing(
    case_of: Callable[..., Any], ground: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        apply.apply(case_of(ground().replace(recipe=None)))
    with pytest.raises(Unavailable, match="give a Recipe"):
        apply.apply(case_of(ground().replace(recipe=lambda train, seed: None)))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'uncork\[tune\]'"):
        apply.apply(case_of(ground()))
