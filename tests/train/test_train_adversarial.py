"""Moved rows: how far, whereto, what they teach; noise and attack as their papers have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split
from uncork.schema.errors import Unavailable
from uncork.train.adversarial import (
    Gaussian,
    Moved,
    NoisyFgsm,
    ProjectedGradient,
    RandomNoise,
    check_moves,
    in_ball,
    within,
)
from uncork.train.augment import Noise

X = torch.randn(400, 2, 5, generator=torch.Generator().manual_seed(0))
W = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))


def random() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def rising(x: torch.Tensor) -> torch.Tensor:
    """The gradient of a linear loss."""
    return W.expand_as(x)


def test_nfgsm_is_noise_of_twice_the_size_and_one_step() -> None:
    """4,000 numbers: the mean of uniform noise ± .2 has standard error .0018, its s.d. one of .0008."""
    moved = NoisyFgsm(0.1)(X, rising, random()) - X - 0.1 * W.sign()
    assert float(moved.abs().max()) <= 0.2 + 1e-6
    assert float(moved.abs().max()) > 0.195
    assert abs(float(moved.mean())) < 0.01
    assert float(moved.std()) == pytest.approx(0.4 / 12**0.5, rel=0.05)


def test_pgd_reaches_the_worst_point_of_a_linear_loss_and_stays_in_the_ball() -> None:
    moved = ProjectedGradient(0.7)(X, rising, random()) - X
    length = moved.flatten(1).norm(dim=1)
    assert float(length.max()) <= 0.7 + 1e-5
    gained = (moved * W).flatten(1).sum(1) / (0.7 * W.norm())
    assert float(gained.mean()) > 0.95  # 1 at the worst point
    assert float(gained.min()) > 0.85


def test_random_moves_are_as_large_as_the_threat() -> None:
    far = RandomNoise("l2", 0.7)(X, rising, random()) - X
    torch.testing.assert_close(far.flatten(1).norm(dim=1), torch.full((400,), 0.7))
    assert set((RandomNoise("linf", 0.5)(X, rising, random()) - X).sign().flatten().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close((RandomNoise("linf", 0.5)(X, rising, random()) - X).abs(), torch.full(X.shape, 0.5))
    assert float((Gaussian(0.3)(X, rising, random()) - X).std()) == pytest.approx(0.3, rel=0.05)


def test_points_in_the_ball_are_uniform() -> None:
    """Half of them within (1/2)^(1/10) of the radius: 400 draws, ± .025; out of ±.1 once in 20,000 seeds."""
    length = in_ball(X, 2.0, random()).flatten(1).norm(dim=1)
    assert float((length < 2 * 0.5**0.1).float().mean()) == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(within(X, X + 1e-3, 1.0), X + 1e-3)


def two_columns(n: int, seed: int) -> Split:
    """± 1, right in .85 of the rows, which an attack of .5 in L∞ can't turn; and ± .4, always right, which it can."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    sign = (2 * y - 1)[:, None]
    safe = np.where(rng.random((n, 1)) < 0.85, sign, -sign)
    return Split(np.concatenate([safe, 0.4 * sign], axis=1).astype(np.float32), y)


RECIPE = Recipe(lambda: nn.Linear(2, 2), epochs=10, batch_size=50, lr=5e-2)


def fragile(module: nn.Module) -> float:
    """The weight of the column that can be turned, over that of the safe one."""
    weight = (module.weight[1] - module.weight[0]).detach()
    return float((weight[1] / weight[0]).abs())


def test_an_attacked_net_gives_up_what_an_attacker_can_turn() -> None:
    train = two_columns(600, 0)
    at_random = Moved(RECIPE, RandomNoise("linf", 0.5), fixed_steps=2 * RECIPE.steps(600))(train, 0)
    assert fragile(RECIPE.fit(train, seed=0)) > 1.5
    assert fragile(at_random) > 1.5
    assert fragile(Moved(RECIPE, NoisyFgsm(0.5))(train, 0)) < 0.1


def test_it_is_reproducible_and_steps_are_as_told() -> None:
    train = two_columns(100, 0)
    steps: list[int] = []

    def scaled(x: torch.Tensor) -> torch.Tensor:
        steps.append(len(x))
        return x.float() / 255

    recipe = RECIPE.replace(augment=Noise(0.1), epochs=2)
    moved = Moved(recipe, ProjectedGradient(0.5), scaled)
    before = torch.random.get_rng_state()
    one, two, other = moved(train, 3), moved(train, 3), moved(train, 4)
    assert len(steps) == 3 * 4 * 4  # three climbs and a step, four times each
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not one.training
    steps.clear()
    Moved(recipe, Gaussian(0.1), scaled, fixed_steps=7)(train, 0)
    assert len(steps) == 7


def test_an_unmoved_row_is_trained_as_the_recipe_does() -> None:
    train = two_columns(100, 0)
    ours, theirs = Moved(RECIPE, Gaussian(0.0))(train, 5), RECIPE.fit(train, seed=5)
    assert torch.equal(ours.weight, theirs.weight)


def numpy_only(x: Any) -> Any:
    return torch.from_numpy(np.asarray(x.numpy()))


@pytest.mark.parametrize(
    ("moved", "train", "message"),
    [
        (Moved(RECIPE, NoisyFgsm(0.1), numpy_only), two_columns(20, 0), "floats, which don't pass"),
        (Moved(RECIPE, NoisyFgsm(0.1), lambda x: x.detach()), two_columns(20, 0), "don't pass|does not reach"),
        (Moved(RECIPE, NoisyFgsm(0.1), lambda x: x.round()), two_columns(20, 0), "does not reach"),
        (Moved(RECIPE, Gaussian(0.1)), Split(["a", "b"], [0, 1]), "arrays of numbers"),
        (
            Moved(RECIPE.replace(build=lambda: nn.EmbeddingBag(9, 2)), Gaussian(0.1)),
            Split(np.ones((8, 3), np.int64), np.zeros(8, int)),
            "floats, which don't pass",
        ),
    ],
)
def test_rows_that_can_not_be_moved_are_refused(moved: Moved, train: Split, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        check_moves(moved, train)
    check_moves(Moved(RECIPE, NoisyFgsm(0.1)), two_columns(20, 0))
