"""Training by a recipe on rows that are moved at each step: by an attack on the net as it stands, or at random.

Rows are moved as they are given, before `preprocess`, in their own units. They may leave the range that train has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.schema.errors import Unavailable, UncorkError
from uncork.schema.seeds import integer_seed
from uncork.train.loop import epoch_batches, lr_factor
from uncork.train.losses import Targets
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import Recipe

#: The gradient of the loss at a batch of rows, of their shape.
Climb = Callable[[torch.Tensor], torch.Tensor]
_FEW = 8  # rows on which it is tried whether gradients reach them


class Move(Protocol):
    """A batch (b, …) → as it is trained on. `passes`: forward and backward passes that this takes."""

    @property
    def passes(self) -> int: ...

    def __call__(self, x: torch.Tensor, climb: Climb, random: torch.Generator) -> torch.Tensor: ...


@dataclass(frozen=True)
class NoisyFgsm:
    """N-FGSM in L∞: uniform noise of twice the size, and from there one step of the size along the gradient's sign.

    Not projected back, which is what keeps single steps from overfitting to themselves. De Jorge et al., Make some
    noise: reliable and efficient single-step adversarial training, NeurIPS 2022 (arXiv 2202.01181).
    """

    size: float
    passes: int = 1

    def __call__(self, x: torch.Tensor, climb: Climb, random: torch.Generator) -> torch.Tensor:
        noisy = x + 2 * self.size * (2 * torch.rand(x.shape, generator=random) - 1).to(x.device)
        return noisy + self.size * climb(noisy).sign()


@dataclass(frozen=True)
class ProjectedGradient:
    """PGD in L2: from a random point of the ball, steps of 2.5 radii in all along the gradient.

    Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018.
    """

    size: float
    passes: int = 3

    def __call__(self, x: torch.Tensor, climb: Climb, random: torch.Generator) -> torch.Tensor:
        moved = within(x, x + in_ball(x, self.size, random), self.size)
        for _ in range(self.passes):
            moved = within(x, moved + 2.5 / self.passes * self.size * _unit(climb(moved)), self.size)
        return moved


@dataclass(frozen=True)
class RandomNoise:
    """A random point as far away as the threat reaches: each number at ± its size, or a random direction in L2."""

    norm: str
    size: float
    passes: int = 0

    def __call__(self, x: torch.Tensor, climb: Climb, random: torch.Generator) -> torch.Tensor:
        drawn = torch.randn(x.shape, generator=random).to(x.device)
        return x + self.size * (drawn.sign() if self.norm == "linf" else _unit(drawn))


@dataclass(frozen=True)
class Gaussian:
    """Gaussian noise of this standard deviation."""

    sigma: float
    passes: int = 0

    def __call__(self, x: torch.Tensor, climb: Climb, random: torch.Generator) -> torch.Tensor:
        return x + self.sigma * torch.randn(x.shape, generator=random).to(x.device)


def in_ball(x: torch.Tensor, radius: float, random: torch.Generator) -> torch.Tensor:
    """(b, …) uniform in an L2 ball about 0, one point a row."""
    drawn = _unit(torch.randn(x.shape, generator=random).to(x.device))
    share = torch.rand(len(x), generator=random).to(x.device) ** (1 / x[0].numel())
    return radius * drawn * share.view(-1, *[1] * (x.ndim - 1))


def within(x: torch.Tensor, moved: torch.Tensor, radius: float) -> torch.Tensor:
    """`moved`, brought back to an L2 distance of `radius` from `x` where it is farther."""
    apart = moved - x
    return x + apart * (radius / _length(apart).clamp_min(1e-30)).clamp_max(1.0)


def _length(x: torch.Tensor) -> torch.Tensor:
    """(b, 1, …) of each row."""
    length: torch.Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return length.view(-1, *[1] * (x.ndim - 1))


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / _length(x).clamp_min(1e-30)


@dataclass(frozen=True)
class Moved:
    """A recipe whose rows are moved at each step; a callable `(train, seed) -> module` for Subject(recipe=...).

    `fixed_steps`: other than the recipe's. `preprocess` and `recipe.augment` must be made of torch operations where
    `move` asks for gradients.
    """

    recipe: Recipe
    move: Move
    preprocess: Callable[[Any], Any] | None = None
    fixed_steps: int | None = None

    def __call__(self, train: Split, seed: int) -> nn.Module:
        return fit_moved(self, train, seed)

    def steps(self, rows: int) -> int:
        return self.recipe.steps(rows) if self.fixed_steps is None else self.fixed_steps

    def describe(self) -> dict[str, Any]:
        """JSON: the recipe's settings and how rows are moved."""
        return {**self.recipe.describe(), "moved": repr((self.move, self.fixed_steps))}


def check_moves(moved: Moved, train: Split) -> None:
    """Raises Unavailable where rows are no arrays of numbers that the net reads, or a gradient does not reach them."""
    if train.kind not in ("array", "dataset"):
        raise Unavailable(f"train holds {train.kind}s: only rows that are arrays of numbers can be moved")
    rows = np.arange(min(_FEW, len(train)))
    with torch.random.fork_rng(devices=[]):
        net, reached = _Net(moved, moved.recipe.make().eval(), Targets(moved.recipe.loss, train)), True
        try:
            if moved.move.passes:
                reached = bool(net.climb(rows, _rows(train, rows)).abs().sum() > 0)
            else:
                net.loss(rows, _rows(train, rows))
        except (RuntimeError, TypeError) as error:
            raise Unavailable(f"rows that are moved are floats, which don't pass through the net: {error}") from None
    if not reached:
        raise Unavailable("the gradient does not reach the rows: let preprocess be torch operations")


def fit_moved(moved: Moved, train: Split, seed: int) -> nn.Module:
    """A fresh module in eval mode. Bit-reproducible under `seed` on one CPU; torch's global random state is left."""
    recipe, total = moved.recipe, moved.steps(len(train))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    targets, random = Targets(recipe.loss, train), torch.Generator().manual_seed(integer_seed(seed, "moves"))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(integer_seed(seed, "train"))
        module = recipe.make().to(device).train()
        net, optimizer = _Net(moved, module, targets, seed), make_optimizer(recipe, module)
        step = epoch = 0
        while step < total:
            for rows in epoch_batches(len(train), recipe.batch_size, seed, epoch):
                if step == total:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * lr_factor(recipe.schedule, step, total)
                x = moved.move(_rows(train, rows).to(device), functools.partial(net.climb, rows), random)
                loss = net.loss(rows, x)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                step += 1
                if not bool(torch.isfinite(loss)):
                    raise UncorkError(f"training diverged at step {step}: lower lr, which is {recipe.lr:g}")
            epoch += 1
    return module.eval()


class _Net:
    """A net with what stands before and after it. `augment` draws the same for a batch that is climbed and trained."""

    def __init__(self, moved: Moved, module: nn.Module, targets: Targets, seed: int = 0) -> None:
        self.moved, self.module, self.targets = moved, module, targets
        self.augmenting = torch.Generator().manual_seed(integer_seed(seed, "augment"))

    def loss(self, rows: np.ndarray, x: torch.Tensor) -> torch.Tensor:
        batch = to_tensors(x, self.moved.preprocess)
        if self.moved.recipe.augment is not None:
            batch = self.moved.recipe.augment(batch, self.augmenting)
        return self.targets.loss(call(self.module, place(batch, reference(self.module))), rows)

    def climb(self, rows: np.ndarray, x: torch.Tensor) -> torch.Tensor:
        state, x = self.augmenting.get_state(), x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(rows, x), x)
        self.augmenting.set_state(state)
        return gradient


def _rows(train: Split, rows: np.ndarray) -> torch.Tensor:
    """As floats, so that they can be moved."""
    return torch.from_numpy(np.ascontiguousarray(train.take(rows))).float()
