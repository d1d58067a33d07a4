"""What makes a trained net smaller: shrinking it, training it on, and rehearsing how far that may go."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.program import Program
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated
from uncork.remedies.fine_tune import Copy
from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.score import score
from uncork.train.loop import epoch_batches, fit, settle_norms
from uncork.train.losses import Targets
from uncork.train.low_rank import low_rank, ranks_of, separable
from uncork.train.pruning import merged, prunable, pruned
from uncork.train.recipe import Recipe
from uncork.train.resized import Change, again, sizes_changed

if TYPE_CHECKING:
    from jaxtyping import Float

#: Trained on for this share of the recipe's steps, at its own learning rate and schedule: what learning rate rewinding
#: does (Renda et al., Comparing rewinding and fine-tuning in neural network pruning, ICLR 2020).
SHARE = 0.2
#: One part in so many of train is held out to choose by.
PARTS = 5
GRADIENT_ROWS, NORM_ROWS, BATCH, EXAMPLE = 512, 2_000, 128, 4

LOW_RANK = "low-rank"


@dataclass(frozen=True)
class Setting:
    """What every training shares."""

    task: str
    preprocess: Callable[[Any], Any] | None
    recipe: Recipe
    steps: int  # of training on
    seed: int


def setting_of(subject: Subject, task: str, seed: int) -> Setting:
    """Raises Unavailable where nothing says how the net was trained."""
    recipe, train = subject.recipe, subject.train
    if not isinstance(recipe, Recipe) or train is None:
        raise Unavailable("a smaller net has to be trained on: give Subject(train=..., recipe=Recipe(...))")
    return Setting(task, subject.preprocess, recipe, math.ceil(SHARE * recipe.steps(len(train))), seed)


def net_of(model: Any) -> nn.Module:
    """The net that a model is. Raises Unavailable where it is none, or something stands around it."""
    module = model.module if isinstance(model, TorchModel) else model
    if not isinstance(module, nn.Module) or isinstance(module, Program):
        raise Unavailable(f"only a torch module, with nothing around it, has layers to shrink: {type(model).__name__}")
    return module


@dataclass(frozen=True)
class Merging:
    """module: a copy without redundant channels. redundant: how many there were. roots: layers that can be pruned."""

    module: nn.Module
    redundant: int
    roots: tuple[str, ...]


def merging(module: nn.Module, train: Split, setting: Setting) -> Merging:
    """Redundant channels on all rows of train are merged. Raises Unavailable where no channel can go."""
    example = _tensors(module, train, np.arange(min(EXAMPLE, len(train))), setting)
    roots = prunable(module, example)
    parts = np.array_split(np.arange(len(train)), len(train) // BATCH + 1)
    batches = (_tensors(module, train, rows, setting) for rows in parts)
    made, redundant = merged(module, example, batches, roots=roots)
    return Merging(made, redundant, roots)


def shrunk(module: nn.Module, kind: str, amount: float, train: Split, setting: Setting) -> tuple[nn.Module, Change]:
    """(a smaller copy, what was changed, as `train.resized` tells it); BatchNorm's statistics are those of train.

    `kind`: an importance of `train.pruning`, and the share of channels that go after redundant ones were merged; or
    "low-rank", and the share of squared singular values that stays.
    """
    change: Change
    example = _tensors(module, train, np.arange(min(EXAMPLE, len(train))), setting)
    if kind == LOW_RANK:
        ranks = separable(module, ranks_of(module, amount), example)
        if not ranks:
            raise Unavailable(f"no layer takes less work in two parts that keep {amount:g} of its squared values")
        made, change = low_rank(module, ranks), {"ranks": ranks}
    else:
        found = merging(module, train, setting)

        def gradients(net: nn.Module) -> None:
            leave_gradients(net, train, setting)

        how: dict[str, Any] = {"importance": kind, "gradients": gradients, "seed": setting.seed, "roots": found.roots}
        made = pruned(found.module, example, amount, **how)
        change = sizes_changed(module, made)
    return recalibrated(made, train, setting), change


def tuned_on(module: nn.Module, train: Split, setting: Setting, seed: int) -> nn.Module:
    """Trained on from where it stands."""
    recipe = setting.recipe.replace(build=Copy(module))
    return fit(recipe, train, seed=seed, steps=setting.steps, preprocess=setting.preprocess).module


@dataclass(frozen=True)
class TunedOn:
    """Makes a model from (subject, seed): this net, trained on."""

    module: nn.Module
    setting: Setting

    def __call__(self, subject: Subject, seed: int) -> Any:
        assert subject.train is not None
        return tuned_on(self.module, subject.train, self.setting, seed)


def answers(module: nn.Module, split: Split, setting: Setting) -> Float[np.ndarray, "n K"]:
    """Its outputs on a split."""
    return logits_of(as_model(module, setting.task, preprocess=setting.preprocess), split)


@dataclass(frozen=True)
class Rehearsal:
    """losses (c,): of each candidate over the dense net with the same steps, in the metric's display unit, positive
    where worse; infinite where it diverged or can't be made. rows: how many judged. delta: what may be lost."""

    losses: np.ndarray
    rows: int
    delta: float

    def within(self) -> np.ndarray:
        """Candidates that lose no more than may be lost, by their point estimates."""
        return np.flatnonzero(self.losses <= self.delta)


def rehearse(
    candidates: Sequence[tuple[str, float]],
    train: Split,
    metric: Metric,
    setting: Setting,
    fan: Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]],
) -> Rehearsal:
    """The whole procedure on four fifths of train, by the recipe from scratch, judged on the last fifth.

    The net itself knows all of train, and what it has learnt by heart is lost first: only one that has never seen the
    fifth can tell what shrinking costs on new rows. Raises Unavailable where train is too small.
    """
    try:
        part = folds(train, PARTS, integer_seed(setting.seed, "rehearsal"), stratify=setting.task == "classification")
    except BadInput as error:
        raise Unavailable(f"train is too small to rehearse on: {error}") from None
    rest, held = train.subset(part != 0), train.subset(part == 0)
    (dense,) = fan(_trained, [(rest, setting, len(train))])
    jobs = [(dense, kind, amount, rest, held, setting) for kind, amount in [("", 0.0), *candidates]]
    base, *others = [_value(metric, outputs, held, setting.task) for outputs in fan(_rehearsed, jobs)]
    losses = np.array([metric.sign * (other - base) for other in others])
    return Rehearsal(np.where(np.isfinite(losses), losses, np.inf), len(held), metric.delta_at(base))


def _trained(rest: Split, setting: Setting, rows: int) -> nn.Module:
    steps, seed = setting.recipe.steps(rows), integer_seed(setting.seed, "rehearsal", "model")
    return fit(setting.recipe, rest, seed=seed, steps=steps, preprocess=setting.preprocess).module


def _rehearsed(dense: nn.Module, kind: str, amount: float, rest: Split, held: Split, setting: Setting) -> Any:
    """Outputs on the fifth; None where there are none."""
    try:
        module = dense if not kind else shrunk(dense, kind, amount, rest, setting)[0]
        return answers(tuned_on(module, rest, setting, setting.seed), held, setting)
    except (UncorkError, FloatingPointError):
        if kind:
            return None
        raise


def _value(metric: Metric, outputs: np.ndarray | None, split: Split, task: str) -> float:
    """In the display unit."""
    if outputs is None or not np.isfinite(outputs).all() or split.y is None:
        return math.nan
    passed = (
        PassData.of_logits(outputs, split.y) if task == "classification" else PassData.of_values(outputs[:, 0], split.y)
    )
    value = score(metric, passed).value
    return math.nan if value is None else value


def _tensors(module: nn.Module, split: Split, rows: np.ndarray, setting: Setting) -> Any:
    return place(to_tensors(split.take(rows), setting.preprocess), reference(module))


def leave_gradients(module: nn.Module, train: Split, setting: Setting) -> None:
    """Of the training loss on a few rows of train, left on the parameters."""
    rows = np.sort(generator(setting.seed, "gradients").permutation(len(train))[:GRADIENT_ROWS])
    targets = Targets(setting.recipe.loss, train)
    with torch.enable_grad():
        for part in np.array_split(rows, max(1, len(rows) // BATCH)):
            loss = targets.loss(call(module, _tensors(module, train, part, setting)).float(), part)
            torch.autograd.backward(loss * (len(part) / len(rows)))


def recalibrated(module: nn.Module, train: Split, setting: Setting) -> nn.Module:
    """The module itself, in eval mode, with BatchNorm's statistics of a few rows of train."""
    few = train.subset(np.sort(generator(setting.seed, "norms").permutation(len(train))[:NORM_ROWS]))
    settle_norms(
        module,
        lambda rows: call(module, _tensors(module, few, rows, setting)),
        epoch_batches(len(few), BATCH, setting.seed, epoch=0),
    )
    return module.eval()


def made_smaller(case: Case, kind: str, amount: float, what: str, spent: float = 0.0) -> Treated:
    """The net, shrunk, to be trained on; its recipe now makes nets of its sizes. spent: trainings before."""
    subject, setting = case.subject, setting_of(case.subject, case.task, case.seed)
    module = net_of(subject.model)
    small, change = shrunk(module, kind, amount, subject.train, setting)
    before, after = (sum(p.numel() for p in net.parameters()) for net in (module, small))
    if after >= before:
        raise Unavailable(f"it would be no smaller: {what}, {after:,} parameters instead of {before:,}")
    recipe = setting.recipe.replace(build=again(setting.recipe.build, change))
    changes = f"{what}: {after:,} parameters instead of {before:,}, trained on for {setting.steps} steps"
    return Treated(subject.replace(recipe=recipe), changes, TunedOn(small, setting), compute=spent + SHARE)


def trained_on(case: Case, treated: Treated) -> Treated:
    """The control of what makes a net smaller: the dense net, for the same further steps."""
    setting = setting_of(case.subject, case.task, case.seed)
    changes = f"the net as it is, trained on for {setting.steps} steps"
    return Treated(case.subject, changes, TunedOn(net_of(case.subject.model), setting), compute=SHARE)
