"""Training by a recipe with differential privacy: per-example gradients clipped and noised (Opacus)."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from uncork.data.split import Split
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.schema.errors import BadInput, MissingExtra, Unavailable, UncorkError
from uncork.schema.seeds import generator, integer_seed
from uncork.train.loop import lr_factor
from uncork.train.losses import Targets
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import Recipe

EPSILON = 8.0  # the largest of the usual budgets: what the literature on images states, and where accuracy survives
MOST_EPSILON = 32.0  # more promises nothing, and the accountant's grid outgrows the memory
ACCOUNTANT = "PRV"
CLIP = 1.0  # the norm an example's gradient is cut to; under Adam it only scales what is divided out again
_AT_ONCE = 2**26  # numbers of per-example gradients in memory
_SEARCHES = 5  # bisections of the noise between what Rényi accounting asks and two thirds of it
_ORDERS = tuple(range(2, 64))  # whole ones, which are quick


@dataclass(frozen=True)
class Spent:
    """One training's privacy: (ε, δ) for one row more or less, and what the accountant got it from."""

    epsilon: float
    delta: float
    noise: float
    rate: float
    steps: int
    clip: float

    def __str__(self) -> str:
        return (
            f"ε = {self.epsilon:.3g} at δ = {self.delta:.2g} by the {ACCOUNTANT} accountant: noise multiplier "
            f"{self.noise:.3g}, sampling rate {self.rate:.3g}, {self.steps} steps, gradients clipped at {self.clip:g}"
        )


@dataclass(frozen=True)
class Private:
    """A recipe, trained with differential privacy; a callable `(train, seed) -> module` for Subject(recipe=...).

    `epsilon`, `delta`: what one row more or less in train may change, δ by default a tenth of one over the rows. Steps,
    optimiser, rate and schedule are the recipe's; batches are Poisson samples of its size on average; its `augment` is
    left out, since it may mix rows. `preprocess` and `recipe.loss` must take each row by itself. Raises BadInput for
    budgets out of range, Unavailable for nets whose layers mix rows, MissingExtra without Opacus.
    """

    recipe: Recipe
    preprocess: Callable[[Any], Any] | None = None
    epsilon: float = EPSILON
    delta: float | None = None
    clip: float = CLIP

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= MOST_EPSILON:
            raise BadInput(f"epsilon is {self.epsilon}: give a number above 0 and up to {MOST_EPSILON:g}")
        if not 0 < self.clip < math.inf:
            raise BadInput(f"clip is {self.clip}: give a number above 0")
        if self.delta is not None and not 0 < self.delta < 1:
            raise BadInput(f"delta is {self.delta}: give a probability, less than one over the rows of train")

    def __call__(self, train: Split, seed: int) -> nn.Module:
        return fit_private(self, train, seed)

    def spent(self, rows: int) -> Spent:
        """What a training on so many rows spends: the least noise found that keeps within ε."""
        rate = min(1.0, self.recipe.batch_size / rows)
        delta = 0.1 / rows if self.delta is None else self.delta
        steps = self.recipe.steps(rows)
        noise, epsilon = least_noise(self.epsilon, delta, rate, steps)
        return Spent(epsilon, delta, noise, rate, steps, self.clip)

    def steps(self, rows: int) -> int:
        return self.recipe.steps(rows)

    def describe(self) -> dict[str, Any]:
        """JSON: the recipe's settings and the budget."""
        budget = {"epsilon": self.epsilon, "delta": self.delta, "clip": self.clip, "accountant": ACCOUNTANT}
        return {**self.recipe.describe(), "private": budget}


def check_layers(build: Callable[[], nn.Module]) -> None:
    """Raises Unavailable where a layer mixes rows or can't give gradients row by row, with the way out."""
    with torch.random.fork_rng(devices=[]), _opacus():
        from opacus.grad_sample import GradSampleModule
        from opacus.validators import ModuleValidator

        module = build()
        # Without weights of its own a BatchNorm is no trainable module, which is all that Opacus looks at.
        if any(isinstance(part, _BatchNorm) for part in module.modules()):
            raise Unavailable("BatchNorm mixes the rows of a batch: let recipe.build use GroupNorm instead")
        # The validator lets layers with buffers pass, of which the other has no gradients.
        errors = ModuleValidator.validate(module.train(), strict=False) or GradSampleModule.validate(module)
        if errors:
            raise Unavailable(f"the net gives no gradients row by row: {str(errors[0]).strip().splitlines()[0]}")


@functools.lru_cache(maxsize=64)
def least_noise(epsilon: float, delta: float, rate: float, steps: int) -> tuple[float, float]:
    """(noise multiplier, the ε it spends by PRV) of Gaussian noise on Poisson samples, one row more or less.

    Rényi accounting, which is quick and asks for more noise than is needed, gives what to search below. Gopi, Lee &
    Wutschitz, Numerical composition of differential privacy, NeurIPS 2021; Mironov, Talwar & Zhang, arXiv 1908.10530.
    """
    with _opacus():
        from opacus.accountants.utils import get_noise_multiplier

        budget = {"target_epsilon": epsilon, "target_delta": delta, "sample_rate": rate, "steps": steps}
        quick = {"accountant": "rdp", "alphas": _ORDERS, "epsilon_tolerance": 0.01 * epsilon}
        try:
            enough = float(get_noise_multiplier(**quick, **budget))
        except ValueError:
            raise BadInput(f"epsilon is {epsilon}: too low for the accountant at a delta of {delta:.2g}") from None
    spent, short = spent_by("prv", enough, rate, steps, delta), enough * 2 / 3
    for _ in range(_SEARCHES):
        middle = (short + enough) / 2
        tried = spent_by("prv", middle, rate, steps, delta)
        if tried <= epsilon:
            enough, spent = middle, tried
        else:
            short = middle
    return enough, spent


def spent_by(accountant: str, noise: float, rate: float, steps: int, delta: float) -> float:
    """ε at δ after so many steps, by "prv" (an upper bound) or "rdp"."""
    with _opacus():
        from opacus.accountants import create_accountant

        counted = create_accountant(mechanism=accountant)
        counted.history = [(noise, rate, steps)]
        return float(counted.get_epsilon(delta))


def fit_private(private: Private, train: Split, seed: int) -> nn.Module:
    """A fresh module in eval mode. Bit-reproducible under `seed` on one CPU; torch's global random state is left."""
    recipe, spent = private.recipe, private.spent(len(train))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    targets, sampling = Targets(recipe.loss, train), generator(seed, "poisson")
    noise = torch.Generator(device).manual_seed(integer_seed(seed, "noise"))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _opacus():
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        check_layers(recipe.make)
        torch.manual_seed(integer_seed(seed, "train"))
        module = recipe.make().to(device).train()
        wrapped = GradSampleModule(module)
        parameters = [p for p in module.parameters() if p.requires_grad]
        piece = max(1, _AT_ONCE // sum(p.numel() for p in parameters))
        optimizer = DPOptimizer(
            make_optimizer(recipe, module),
            noise_multiplier=spent.noise,
            max_grad_norm=spent.clip,
            expected_batch_size=spent.rate * len(train),
            generator=noise,
        )
        for step in range(spent.steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * lr_factor(recipe.schedule, step, spent.steps)
            drawn = np.flatnonzero(sampling.random(len(train)) < spent.rate)
            pieces = np.array_split(drawn, max(1, math.ceil(len(drawn) / piece)))
            for k, rows in enumerate(pieces):
                optimizer.zero_grad(set_to_none=True)
                if len(rows):
                    batch = place(to_tensors(train.take(rows), private.preprocess), reference(module))
                    torch.autograd.backward(targets.loss(call(wrapped, batch), rows))
                else:  # no row was drawn: a step of noise alone
                    for p in parameters:
                        p.grad_sample = p.new_zeros((0, *p.shape))  # type: ignore[attr-defined]
                optimizer.signal_skip_step(do_skip=k < len(pieces) - 1)
                optimizer.step()
        if not all(torch.isfinite(p).all() for p in parameters):
            raise UncorkError(f"training diverged: lower lr, which is {recipe.lr:g}")
        plain = recipe.make().to(device)  # a module free of what Opacus hangs on its weights
        plain.load_state_dict(module.state_dict())
    return plain.eval()


@contextmanager
def _opacus() -> Iterator[None]:
    """Its warnings are about what is settled here: full backward hooks, the reach of Rényi orders, logarithms of 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import opacus  # noqa: F401
        except ImportError:
            raise MissingExtra("dp", "training with differential privacy") from None
        yield
