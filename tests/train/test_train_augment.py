"""Ways of changing rows: what they may do and what not, and the same under one seed."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split
from uncork.train.augment import Flip, InTurn, Noise, Shift, WordDropout


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(300, 7, 9), (300, 2, 7, 9)])
def test_a_shift_moves_whole_pictures_and_repeats_the_edge(shape: tuple[int, ...]) -> None:
    """All 25 moves of up to 2 pixels come up: one of them stays away less than 1 time in 8,000 (25 · .96³⁰⁰)."""
    batch = torch.rand(shape, generator=random(1))
    moved = Shift(2)(batch, random())
    seen = set()
    for old, new in zip(batch.numpy(), moved.numpy(), strict=True):
        pad = [(0, 0)] * (old.ndim - 2) + [(2, 2), (2, 2)]
        wide = np.pad(old, pad, mode="edge")
        found = [
            (dy, dx) for dy in range(5) for dx in range(5) if np.array_equal(wide[..., dy : dy + 7, dx : dx + 9], new)
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 25


def test_flips_turn_about_half() -> None:
    """Of 1,000 between 400 and 600: outside by chance less than 1 time in 10⁹."""
    batch = torch.rand((1000, 1, 3, 4), generator=random(1))
    turned = Flip()(batch, random())
    same = (turned == batch).flatten(1).all(1)
    assert ((turned == batch.flip(-1)).flatten(1).all(1) | same).all()
    assert 400 < int(same.sum()) < 600


def test_noise_has_the_columns_spread() -> None:
    """Standard deviations of 20,000 draws, to 5 of their standard errors."""
    batch = torch.randn((20_000, 3), generator=random(1)) * torch.tensor([1.0, 50.0, 0.0]) + 7
    added = Noise(0.1)(batch, random()) - batch
    np.testing.assert_allclose(added.std(0), [0.1, 5.0, 0.0], rtol=0.025, atol=1e-6)
    assert abs(np.corrcoef(added[:, 0], added[:, 1])[0, 1]) < 0.035
    assert torch.equal(Noise(0.1)(batch[:1], random()), batch[:1])


def test_words_are_left_out_in_their_order() -> None:
    """Of 10,000 words a fifth goes, s.d. 40; in all, one word at least stays."""
    texts = [" ".join(f"w{i}" for i in range(100))] * 100 + ["alone"] * 50 + [""]
    shorter = WordDropout(0.2).rows(texts, random())
    kept = [[int(word[1:]) for word in text.split()] for text in shorter[:100]]
    assert all(words == sorted(set(words)) for words in kept)
    assert abs(sum(map(len, kept)) - 8000) < 200
    assert len({len(words) for words in kept}) > 1
    assert shorter[100:] == texts[100:]
    assert WordDropout(0.2)(texts, random()) is texts


def test_in_turn_is_one_after_the_other() -> None:
    batch = torch.rand((5, 6, 6), generator=random(1))
    one = random()
    expected = Flip()(Shift(1)(batch, one), one)
    assert torch.equal(InTurn((Shift(1), Flip()))(batch, random()), expected)
    words = InTurn((Shift(1), WordDropout(0.5)))
    assert words.rows(["a b c d e f"], random()) == WordDropout(0.5).rows(["a b c d e f"], random())


@pytest.mark.parametrize("change", [Shift(1), Flip(), InTurn((Shift(1), Flip()))])
def test_it_trains_alike_under_one_seed_and_can_be_sent_to_a_worker(change: Any) -> None:
    x = np.random.default_rng(0).normal(size=(40, 1, 6, 6)).astype(np.float32)
    train = Split(x, np.arange(40) % 2)
    recipe = Recipe(lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), epochs=2, batch_size=10)
    first = recipe.replace(augment=change).fit(train)[1].weight
    again = recipe.replace(augment=pickle.loads(pickle.dumps(change))).fit(train)[1].weight
    assert torch.equal(first, again)
    assert not torch.equal(first, recipe.fit(train)[1].weight)
