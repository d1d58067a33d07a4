"""Choosing on rows of train that are held out: the losses are brute force's, and chance does not choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import SOUND, subject_of
from torch import nn

from uncork import BadInput, Recipe, Split
from uncork.remedies._recipe import best_held_out, held_out_losses, losses_by_row, parts
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit

CaseOf = Callable[..., Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3)).astype(np.float32)
Y = X @ np.array([1.0, 2.0, 3.0]) + RNG.normal(size=100)
LINE = Recipe(lambda: nn.Linear(3, 1), epochs=30, batch_size=20, lr=0.1)


def test_squared_errors_of_a_regression_are_brute_forces(case_of: CaseOf) -> None:
    case = case_of(subject_of(LINE, X, Y), task="regression", n_classes=0)
    held = parts(case) == 0
    assert held.sum() == 20
    train = case.subject.train.subset(~held)
    module = fit(LINE, train, seed=integer_seed(0, "held out", "model"), steps=150).module
    expected = (module(torch.from_numpy(X[held]))[:, 0].detach().numpy() - Y[held]) ** 2
    np.testing.assert_allclose(losses_by_row(case, [LINE])[0], expected, rtol=1e-5)
    assert held_out_losses(case, [LINE]) == [pytest.approx(expected.mean())]


class Scaled(nn.Module):
    """The same net with other confidence."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.inner(x) if not self.training else self.inner(x)


def test_being_less_sure_is_no_gain(case_of: CaseOf, digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    noisy = (y[:200] + (np.arange(200) % 5 == 0)) % 10
    case = case_of(subject_of(SOUND, x[:200], noisy))
    other = SOUND.replace(build=lambda: Scaled(SOUND.build(), 0.2))
    first, second = held_out_losses(case, [SOUND, other])
    assert first > 0.1
    assert first == pytest.approx(second, rel=1e-3)


def test_chance_does_not_choose_and_a_clear_gain_does(case_of: CaseOf) -> None:
    case = case_of(subject_of(LINE, X, Y), task="regression", n_classes=0)
    hardly, poor = LINE.replace(lr=0.11), LINE.replace(lr=1e-3)
    losses = held_out_losses(case, [LINE, hardly])
    order = [LINE, hardly] if losses[1] < losses[0] else [hardly, LINE]  # the second is better, by next to nothing
    assert best_held_out(case, order) == 0
    assert best_held_out(case, [poor, LINE]) == 1
    assert best_held_out(case, [LINE, poor]) == 0


def test_what_diverges_is_never_chosen_and_bad_input_is_told(case_of: CaseOf) -> None:
    case = case_of(subject_of(LINE, X, 1e3 * Y), task="regression", n_classes=0)
    wild = LINE.replace(optimizer="sgd", lr=1e9)
    assert held_out_losses(case, [wild]) == [np.inf]
    assert best_held_out(case, [LINE, wild]) == 0
    assert best_held_out(case, [wild, LINE]) == 1
    with pytest.raises(BadInput, match="refuses rows"):
        best_held_out(case, [LINE.replace(build=lambda: nn.Linear(4, 1))])


def test_groups_stay_together(case_of: CaseOf) -> None:
    groups = np.arange(100) // 5
    subject = subject_of(LINE, X, Y).replace(train=Split(X, Y, groups=groups))
    part = parts(case_of(subject, task="regression", n_classes=0))
    assert all(len(set(part[groups == g])) == 1 for g in range(20))


def test_rows_of_one_group_count_once(monkeypatch: pytest.MonkeyPatch, ground: Any, case_of: Any) -> None:
    """Of 10 held-out groups of 10 equal rows 6 gain .1 and 4 lose .1: by rows 2.0 standard errors, by groups .6."""
    train = ground().train
    groups = np.repeat(np.arange(50), 10)
    case = case_of(ground().replace(train=Split(train.take(np.arange(500)), train.y, groups=groups)))
    held = np.flatnonzero(parts(case) == 0)
    sign = np.where(np.unique(groups[held], return_inverse=True)[1] < 6, 0.1, -0.1)
    losses = np.stack([np.full(len(held), 1.0), 1.0 - sign])
    monkeypatch.setattr("uncork.remedies._recipe.losses_by_row", lambda *_: losses)
    assert sign.mean() > sign.std(ddof=1) / np.sqrt(len(sign))
    assert best_held_out(case, [None, None]) == 0
    monkeypatch.setattr("uncork.remedies._recipe.losses_by_row", lambda *_: losses[:, ::1] - np.array([[0.0], [0.3]]))
    assert best_held_out(case, [None, None]) == 1
