"""The training loop: one, plain, and the same for every member, fold, remedy and control."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from uncork.data.split import Split
from uncork.models.tensors import REFUSALS, call, place, reference, refusal, to_tensors
from uncork.models.torch_model import evaluating
from uncork.schema.errors import BadInput, UncorkError
from uncork.schema.seeds import generator, integer_seed
from uncork.train.losses import Targets
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import Recipe

EVALUATION_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Trained:
    """`module` in eval mode; `steps` taken; `loss`: mean training loss of each epoch; whether it stopped early.

    `validation_loss`: of the weights after each epoch, where a validation split was given.
    """

    module: nn.Module
    steps: int
    loss: list[float]
    stopped_early: bool
    validation_loss: list[float] = field(default_factory=list)


def fit(
    recipe: Recipe,
    train: Split,
    *,
    seed: int,
    preprocess: Callable[[Any], Any] | None = None,
    steps: int | None = None,
    sample_weight: np.ndarray | None = None,
    class_weight: np.ndarray | None = None,
    validation: Split | None = None,
    patience: int | None = None,
    average: float | None = None,
    width: float | None = None,
    depth: float | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Trains a fresh module for exactly `steps` steps (default `recipe.steps(len(train))`), the schedule over all.

    `sample_weight` (n,) and `class_weight` (K,) multiply, scaled to mean 1 over train. `validation`: the weights of
    the epoch with the lowest loss on it are kept, and training ends after `patience` epochs without a lower one.
    `average`: stochastic weight averaging over this last share of the steps: the learning rate stays what it is before
    them, the weights are the mean of those after each of them, BatchNorm's statistics the averaged net's on train.
    `progress(step, steps)` is called after each step. Bit-reproducible under `seed` on one CPU, initial weights
    included; the global random state of torch is left as it was. Raises BadInput where data and module don't fit,
    UncorkError where the loss is no longer finite.
    """
    _check(patience, average, validation)
    total = recipe.steps(len(train)) if steps is None else steps
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    targets = Targets(recipe.loss, train, sample_weight=sample_weight, class_weight=class_weight)
    judged = None if validation is None else Targets(recipe.loss, validation, place="validation.y", like=targets)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(integer_seed(seed, "train"))
        augmenting = torch.Generator().manual_seed(integer_seed(seed, "augment"))
        module = recipe.make(width=width, depth=depth).to(device).train()
        optimizer = make_optimizer(recipe, module)
        best = _Best(module)
        mean = _Mean(module, total, average)
        history: list[float] = []
        judgements: list[float] = []
        step = 0

        def outputs(rows: np.ndarray) -> torch.Tensor:
            batch = drawn(train.take(rows), recipe.augment, augmenting, preprocess)
            return _forward(module, batch, device, preprocess)

        while step < total:
            summed, seen = 0.0, 0
            for rows in epoch_batches(len(train), recipe.batch_size, seed, epoch=len(history)):
                if step == total:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * lr_factor(recipe.schedule, min(step, mean.held), total)
                loss = targets.loss(outputs(rows), rows)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                step += 1
                mean.see(step)
                value = _finite(loss.item(), recipe, step)
                summed, seen = summed + value * len(rows), seen + len(rows)
                if progress is not None:
                    progress(step, total)
            history.append(summed / seen)
            if validation is not None and judged is not None:
                judgements.append(_evaluate(module, validation, judged, device, preprocess))
                best.see(judgements[-1])
                if patience is not None and best.epochs_since >= patience:
                    break
        best.restore()
        if mean.restore():
            settle_norms(module, outputs, epoch_batches(len(train), recipe.batch_size, seed, epoch=len(history)))
    return Trained(module.eval(), step, history, stopped_early=step < total, validation_loss=judgements)


def _check(patience: int | None, average: float | None, validation: Split | None) -> None:
    if patience is not None and (validation is None or patience < 1):
        raise BadInput(f"patience is {patience}: give 1 or more, and a validation split to judge by")
    if average is not None and (validation is not None or not 0 < average <= 1):
        raise BadInput(f"average is {average}: give a share of the steps above 0, and no validation split to choose by")


def drawn(
    batch: Any, augment: Callable[..., Any] | None, random: torch.Generator, preprocess: Callable[[Any], Any] | None
) -> Any:
    """A batch as the net is trained on it."""
    change_rows = getattr(augment, "rows", None)
    if change_rows is not None:
        batch = change_rows(batch, random)
    batch = to_tensors(batch, preprocess)
    return batch if augment is None else augment(batch, random)


class _Best:
    """Keeps the weights of the epoch with the lowest validation loss."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.loss, self.epochs_since = module, math.inf, 0
        self.state: dict[str, Any] | None = None

    def see(self, loss: float) -> None:
        self.epochs_since += 1
        if loss < self.loss:
            self.state, self.loss, self.epochs_since = copy.deepcopy(self.module.state_dict()), loss, 0

    def restore(self) -> None:
        if self.state is not None:
            self.module.load_state_dict(self.state)


class _Mean:
    """Keeps the mean of the weights after each step of the last share; None for no steps at all.

    `held`: the step whose learning rate stays from then on.
    """

    def __init__(self, module: nn.Module, total: int, share: float | None) -> None:
        self.start = total - (0 if share is None else max(1, round(share * total)))
        self.held, self.seen = max(0, self.start - 1), 0
        self.parameters = list(module.parameters())
        self.mean: list[torch.Tensor] = []

    @torch.no_grad()
    def see(self, step: int) -> None:
        if step > self.start:
            self.seen += 1
            self.mean = self.mean or [p.detach().clone() for p in self.parameters]
            for mean, parameter in zip(self.mean, self.parameters, strict=True):
                mean.lerp_(parameter, 1 / self.seen)

    @torch.no_grad()
    def restore(self) -> bool:
        """Whether there was anything to average."""
        for mean, parameter in zip(self.mean, self.parameters, strict=False):
            parameter.copy_(mean)
        return bool(self.mean)


@torch.no_grad()
def settle_norms(module: nn.Module, outputs: Callable[[np.ndarray], Any], batches: Iterator[np.ndarray]) -> None:
    """BatchNorm's running statistics become the mean over these batches; all else is in eval mode as they pass."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain mean
        norm.train()
    for rows in batches if norms else ():
        outputs(rows)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _finite(loss: float, recipe: Recipe, step: int) -> float:
    if not math.isfinite(loss):
        raise UncorkError(f"training diverged at step {step} (loss {loss}): lower lr, which is {recipe.lr:g}")
    return loss


def fit_any(recipe: Any, train: Split, seed: int, **settings: Any) -> Any:
    """A model from a Recipe, or from any callable `(train_split, seed) -> model`.

    `settings` are `fit`'s. A callable sees to its own preprocessing and progress; raises BadInput for other settings.
    """
    if isinstance(recipe, Recipe):
        return fit(recipe, train, seed=seed, **settings).module
    if not callable(recipe):
        raise BadInput(
            f"recipe is of type {type(recipe).__name__}: give a Recipe, or a callable (train, seed) -> model"
        )
    refused = [name for name, value in settings.items() if value is not None and name not in ("preprocess", "progress")]
    if refused:
        raise BadInput(f"recipe is a callable, for which {refused[0]} can't be set: give a Recipe")
    model = recipe(train, seed)
    if model is None:
        raise BadInput("recipe returned None: let it return the fitted model")
    return model


def epoch_batches(n: int, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """⌈n / size⌉ batches of positions, freshly permuted for each epoch.

    A last batch of one row, which BatchNorm can't take, gets a second row from the batch before it, so that the
    number of steps stays what it is.
    """
    order = generator(seed, "epoch", epoch).permutation(n)
    cuts = list(range(size, n, size))
    if n % size == 1 and size > 2 and cuts:
        cuts[-1] -= 1
    yield from np.split(order, cuts)


def lr_factor(schedule: str, step: int, total: int) -> float:
    """The share of the learning rate in force at `step` (0 … total − 1)."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / total))
    if schedule == "step":
        return 0.1 ** ((2 * step >= total) + (4 * step >= 3 * total))
    return 1.0


def _forward(
    module: nn.Module,
    batch: Any,
    device: torch.device,
    preprocess: Callable[[Any], Any] | None,
    name: str = "train",
) -> torch.Tensor:
    placed = place(batch, reference(module))
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            return call(module, placed).float()
    except REFUSALS as error:
        raise BadInput(f"{name}.{refusal(error, placed, module, preprocess is not None)}") from error


@torch.no_grad()
def _evaluate(
    module: nn.Module, split: Split, targets: Targets, device: torch.device, preprocess: Callable[[Any], Any] | None
) -> float:
    """Mean loss over a split, in eval mode."""
    summed = 0.0
    with evaluating(module):
        for rows, batch in split.batches(EVALUATION_ROWS):
            outputs = _forward(module, to_tensors(batch, preprocess), device, preprocess, "validation")
            summed += targets.loss(outputs, rows).item() * len(rows)
    return summed / len(split)
