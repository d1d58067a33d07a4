"""Contrast: its loss against the definition, views by hand, and an encoder that learns what labels don't say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.schema.errors import Unavailable
from uncork.train.loop import fit
from uncork.train.self_supervised import CORRUPTED, TEMPERATURE, Pretraining, contrast, pretrained, steps_on, views


def test_the_loss_is_nt_xent() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    unit = (z / z.norm(dim=1, keepdim=True)).double().numpy()
    alike = np.exp(unit @ unit.T / TEMPERATURE)
    each = [-np.log(alike[i, (i + 3) % 6] / (alike[i].sum() - alike[i, i])) for i in range(6)]
    assert contrast(z).item() == pytest.approx(np.mean(each), rel=1e-5)


def test_views_of_tables_and_pictures() -> None:
    x = torch.arange(4000.0).reshape(400, 10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        same, other = views(x)
        for shape in ((8, 3, 12, 12), (8, 12, 12)):
            one, two = views(torch.rand(shape))
            assert one.shape == two.shape == shape
            assert not torch.equal(one, two)
    assert torch.equal(same, x)
    assert torch.equal(other % 10, x % 10)  # every value is of its own column
    assert (other != x).float().mean().item() == pytest.approx(CORRUPTED, abs=0.05)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def test_the_seed_decides_and_the_last_layer_is_left_out() -> None:
    rows = Split(np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32))
    before = torch.get_rng_state()
    recipe = Recipe(build, epochs=1)
    one, same, other = (pretrained(recipe, rows, seed, 3) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert set(one) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert steps_on(100) == 300
    assert steps_on(10**7) == 3000


def test_what_has_no_views_is_told() -> None:
    recipe = Recipe(build, epochs=1)
    with pytest.raises(Unavailable, match="tables and small pictures"):
        pretrained(recipe, Split(["a", "b"]), 0, 1, lambda texts: torch.zeros(len(texts), 30, dtype=torch.int64))
    with pytest.raises(Unavailable, match="beyond 64"):
        pretrained(recipe, Split(np.zeros((4, 3, 80, 80), np.float32)), 0, 1)
    odd = Recipe(lambda: nn.Sequential(nn.Linear(30, 4), nn.LayerNorm(4)), epochs=1)
    with pytest.raises(Unavailable, match="no last layer"):
        pretrained(odd, Split(np.zeros((4, 30), np.float32)), 0, 1)


@pytest.mark.slow
def test_columns_that_go_together_are_learnt_without_labels() -> None:
    """Rows are one of 12 patterns of 30 columns under noise, 3 patterns a class; 36 labels. Errors on 900 fresh rows,
    mean of two seeds, fall by a tenth or more."""
    rng = np.random.default_rng(0)
    patterns, which = rng.normal(size=(12, 30)), rng.integers(0, 12, 3000)
    x = (patterns[which] + rng.normal(0, 1.2, (3000, 30))).astype(np.float32)
    y = which % 4
    train, fresh = Split(x[:36], y[:36]), torch.from_numpy(x[2100:])
    recipe = Recipe(build, epochs=100, batch_size=18, lr=5e-3)
    subject = Subject(None, train=train, test=None, recipe=recipe)

    def error(module: nn.Module) -> float:
        with torch.inference_mode():
            return float((module(fresh).argmax(dim=1).numpy() != y[2100:]).mean())

    more = Pretraining(Split(x[100:2100]), 250)
    plain = np.mean([error(fit(recipe, train, seed=seed).module) for seed in range(2)])
    taught = np.mean([error(more(subject, seed)) for seed in range(2)])
    assert taught < 0.9 * plain, (plain, taught)
