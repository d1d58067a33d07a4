"""The recipe by a few settings: what is changed, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from uncork import BadInput, Recipe, Split
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.train.loop import fit
from uncork.train.tuned import FACTORS, by_setting, fitted_net, in_words

RECIPE = Recipe(lambda: nn.Linear(3, 2), epochs=4, batch_size=20, lr=0.01, weight_decay=0.02)


def split(seed: int) -> Split:
    x = np.random.default_rng(seed).normal(size=(60, 3)).astype(np.float32)
    return Split(x, (x[:, 0] > 0).astype(int))


def test_settings_change_rate_and_decay_alone() -> None:
    assert by_setting(RECIPE, 0) == RECIPE
    changed = [by_setting(RECIPE, k) for k in range(len(FACTORS))]
    assert [r.lr for r in changed] == pytest.approx([0.01, 0.03, 0.01 / 3, 0.01])
    assert [r.weight_decay for r in changed] == pytest.approx([0.02, 0.02, 0.02, 0.2])
    assert in_words(changed[1]) == "rate 0.03, decay 0.02"
    assert len({in_words(r) for r in changed}) == len(FACTORS)


def test_it_is_the_recipes_own_training() -> None:
    train, fresh = split(0), split(1)
    out, seconds = fitted_net(RECIPE, train, fresh, 7, "classification", 3, None)
    module = fit(RECIPE, train, seed=3, steps=7).module
    np.testing.assert_array_equal(out, logits_of(as_model(module, "classification"), fresh))
    assert seconds > 0
    values = Recipe(lambda: nn.Linear(3, 1), epochs=1)
    out, _ = fitted_net(values, train.with_y(train.y + 0.5), fresh, 2, "regression", 0, None)
    assert out is not None
    assert out.shape == (60,)


def test_what_diverges_has_no_outputs_and_what_is_wrong_is_said() -> None:
    out, _ = fitted_net(RECIPE.replace(lr=1e30, optimizer="sgd"), split(0), split(1), 20, "classification", 0, None)
    assert out is None
    with pytest.raises(BadInput):
        fitted_net(Recipe(lambda: nn.Linear(9, 2), epochs=1), split(0), split(1), 2, "classification", 0, None)
