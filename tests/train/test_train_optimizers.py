from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from uncork.data.split import Split
from uncork.schema.errors import BadInput
from uncork.train.loop import fit
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import OPTIMIZERS, Recipe
from uncork.train.stacked import stackable


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def rows(n: int = 300) -> Split:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return Split(x, x[:, :3].argmax(axis=1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_learns_and_repeats(optimizer: str) -> None:
    lr = {"sgd": 0.05, "muon": 0.03}.get(optimizer, 0.01)
    recipe = Recipe(net, epochs=12, lr=lr, optimizer=optimizer, batch_size=32)
    first, second = (fit(recipe, rows(), seed=1) for _ in range(2))
    assert first.loss[-1] < 0.5 * first.loss[0]
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_takes_matrices_and_adamw_the_rest() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    made = make_optimizer(Recipe(net, epochs=1, optimizer="muon", weight_decay=0.1), module)
    decay = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert decay == {id(p): 0.1 if p.ndim > 1 else 0.0 for p in module.parameters()}
    before = module[2].weight.detach().clone()
    module(torch.randn(8, 1, 4, 4)).square().mean().backward()
    made.step()
    # An orthogonalised step has singular values near one another; a gradient of rank-many scales has not.
    step = torch.linalg.svdvals(module[2].weight.detach() - before * (1 - 1e-3 * 0.1))
    assert step.max() / step.min() < 3
    made.zero_grad()
    assert all(p.grad is None for p in module.parameters())


def test_what_looks_at_whole_matrices_is_not_stacked_and_needs_one() -> None:
    assert "as a whole" in stackable(Recipe(net, epochs=1, optimizer="muon"), rows())
    assert stackable(Recipe(net, epochs=1), rows()) == ""
    with pytest.raises(BadInput, match="no matrix"):
        make_optimizer(Recipe(net, epochs=1, optimizer="muon"), nn.BatchNorm1d(4))
