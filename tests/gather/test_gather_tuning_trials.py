from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.tuning_trials import drawn_settings, gather
from uncork.schema.errors import Unavailable
from uncork.schema.tuning_trials import TuningTrials
from uncork.testing.gatherers import check_gatherer
from uncork.train.importance import ped_anova

Digits = tuple[np.ndarray, np.ndarray]
FEW = TuningTrials(trials=5, seeds=2)


def build() -> nn.Module:
    return nn.Linear(64, 10)


def subject(digits: Digits, **changed: Any) -> Subject:
    x, y = digits
    recipe = Recipe(build, **({"epochs": 1, "lr": 0.01, "batch_size": 32} | changed))
    train = Split(x[:300], y[:300])
    return Subject(
        build(), train=train, validation=Split(x[300:800], y[300:800]), test=Split(x[800:], y[800:]), recipe=recipe
    )


@pytest.mark.slow
def test_keeps_the_contract(context_of: Callable[..., Context], digits: Digits) -> None:
    check_gatherer(gather, FEW, context_of(subject(digits)))


def test_what_is_scored(context_of: Callable[..., Context], digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.gather.tuning_trials.SHUFFLES", 3)
    data = gather.gather(FEW, context_of(subject(digits)))
    assert data.settings.shape == (5, 3)
    assert data.held_rows == 60
    assert data.best == data.scores.argmin()
    assert data.outputs.shape == (2, 2, 500, 10)
    assert not np.array_equal(data.outputs[0, 0], data.outputs[0, 1])
    assert data.importance.shape == (3,)
    assert data.importance_null.shape == (3, 3)
    with pytest.raises(Unavailable, match="give Subject"):
        gather.gather(FEW, context_of(subject(digits).replace(recipe=lambda train, seed: build())))


def test_divergence_is_the_worst_score(context_of: Callable[..., Context], digits: Digits) -> None:
    """A rate of 1e30 leaves no finite weight."""
    with pytest.raises(Unavailable, match="diverges at every setting"):
        gather.gather(TuningTrials(trials=2, seeds=1), context_of(subject(digits, lr=1e30, optimizer="sgd", epochs=3)))


def test_settings_are_log_uniform() -> None:
    recipe = Recipe(build, epochs=1, lr=0.01, batch_size=32)
    tried = drawn_settings(recipe, 400, 100, np.random.default_rng(0))
    logs = np.log([r.lr / recipe.lr for r in tried]) / np.log(30)
    assert np.abs(logs).max() <= 1
    assert abs(logs.mean()) < 0.12  # s.e. .029
    assert {r.batch_size for r in tried} == {8, 16, 32, 64, 100}
    assert len({r.weight_decay for r in tried}) == 400


def test_an_important_setting_is_told_from_an_inert_one() -> None:
    """Scores fall with the distance of the first one's logarithm from 0; the other two are noise."""
    right = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        settings = np.exp(rng.uniform(-3, 3, (24, 3)))
        scores = np.log(settings[:, 0]) ** 2 + rng.normal(0, 0.1, 24)
        scores[scores > 6] = np.inf
        found = ped_anova(("a", "b", "c"), settings, scores)
        right += found.argmax() == 0
    assert right >= 9
    same = ped_anova(("a", "b"), np.c_[np.exp(np.arange(8.0)), np.ones(8)], np.arange(8.0))
    assert same[1] == 0
