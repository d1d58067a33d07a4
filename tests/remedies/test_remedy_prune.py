"""prune: what the audit found can go goes, is really gone, and the smaller net loads again from plain weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import estimator, same_weights, subject_of
from torch import nn

from uncork import BadInput, Recipe, Split, load_treated
from uncork.models.adapt import adapt
from uncork.remedies import low_rank, prune
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.testing.redundant_channels import a_redundancy
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]
FOUND = {"redundancy": a_redundancy(50)}


def build(width: int = 32) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 2 * width),
        nn.BatchNorm1d(2 * width),
        nn.ReLU(),
        nn.Linear(2 * width, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


RECIPE = Recipe(build, epochs=5, batch_size=50, lr=1e-2)


def case(case_of: CaseOf, digits: Digits, n: int = 300, recipe: Any = RECIPE, **artifacts: Any) -> Any:
    x, y = digits[0][:n], digits[1][:n]
    given = subject_of(recipe, x, y)
    return case_of(given.replace(model=recipe.fit(given.train, seed=0)), **artifacts)


def test_half_of_the_channels_are_gone(case_of: CaseOf, digits: Digits) -> None:
    given = case(case_of, digits, **FOUND)
    treated = prune.apply.apply(given)
    made, again = (treated.train(treated.subject, 1) for _ in range(2))
    assert same_weights(made, again)
    silent = 64 - made[1].out_features, 32 - made[4].out_features
    assert silent[0] >= 32
    assert silent[1] >= 16
    assert made[1].weight.shape == (made[1].out_features, 64)
    assert given.subject.model[1].out_features == 64
    assert "50% of the channels pruned" in treated.changes
    # Remedies that retrain later keep the sizes.
    assert [p.shape for p in treated.subject.recipe.make().parameters()] == [p.shape for p in made.parameters()]
    control = prune.apply.control(given, treated)
    assert control.compute == treated.compute
    assert control.train(control.subject, 1)[1].out_features == 64


@pytest.mark.parametrize("of", [prune, low_rank])
@pytest.mark.slow
def test_keeps_the_contract(case_of: CaseOf, digits: Digits, of: Any) -> None:
    check_remedy(of.apply, lambda: case(case_of, digits, **FOUND))


def test_it_is_saved_as_weights_and_sizes_and_answers_the_same(case_of: CaseOf, digits: Digits, tmp_path: Path) -> None:
    """Pruned, and then taken apart: each change is made again, in turn."""
    given = case(case_of, digits, **FOUND)
    x = digits[0][:100]
    for turn, remedy in enumerate((prune.apply, low_rank.apply)):
        treated = remedy.apply(given)
        subject = treated.subject.replace(model=treated.train(treated.subject, 1), test=Split(x))
        model = adapt(subject, "classification")
        save_treated(tmp_path / str(turn), subject, model, ["smaller"])
        loaded = load_treated(tmp_path / str(turn), build=build)
        assert np.array_equal(loaded.outputs(x).logits, model.outputs(x).logits)
        assert {path.suffix for path in (tmp_path / str(turn) / "treated").iterdir()} == {".json", ".safetensors"}
        with pytest.raises(BadInput, match="is not the net that was made smaller"):
            load_treated(tmp_path / str(turn), build=lambda: nn.Linear(64, 10))
        given = case_of(subject.without_test(), **FOUND)


@pytest.mark.slow
def test_low_rank_halves_a_net_of_low_rank(case_of: CaseOf, digits: Digits) -> None:
    """Two layers of 256 units, trained on ten classes: most of their singular values do nothing."""
    given = case(case_of, digits, n=900, recipe=RECIPE.replace(build=lambda: build(128), epochs=10))
    treated = low_rank.apply.apply(given)
    made = treated.train(treated.subject, 1)
    before, after = (sum(p.numel() for p in net.parameters()) for net in (given.subject.model, made))
    assert after < before
    fresh = torch.from_numpy(digits[0][900:])
    wrong = [float((net(fresh).argmax(dim=1).numpy() != digits[1][900:]).mean()) for net in (given.subject.model, made)]
    assert wrong[1] < wrong[0] + 0.02
    assert low_rank.apply.control(given, treated).train(given.subject, 1)[1].out_features == 256


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    given = case(case_of, digits, n=100, recipe=RECIPE.replace(epochs=1))
    with pytest.raises(Unavailable, match="audit with the probe redundant-channels"):
        prune.apply.apply(given)
    poor = {"redundancy": a_redundancy(50, within=False)}
    with pytest.raises(Unavailable, match="even 50% of the channels were missed"):
        prune.apply.apply(case_of(given.subject, **poor))
    x, y = digits[0][:100], digits[1][:100]
    with pytest.raises(Unavailable, match="has to be trained on"):
        prune.apply.apply(case_of(subject_of(estimator, x, y), **FOUND))
    bare = given.subject.replace(model=nn.Linear(64, 10), recipe=RECIPE.replace(build=lambda: nn.Linear(64, 10)))
    with pytest.raises(Unavailable, match="no layer's channels"):
        prune.apply.apply(case_of(bare, **FOUND))
