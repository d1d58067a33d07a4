"""One model of the pool: what is asked of it, what comes of it, and its training in a worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from uncork.data.split import Split
from uncork.gather._contract import Training
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.schema.artifacts import Request
from uncork.schema.errors import BadInput, UncorkError
from uncork.schema.pool import RATES
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit, fit_any
from uncork.train.recipe import Recipe
from uncork.train.stacked import Job, fit_stacked, stackable

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import nn

    Rows = Int[np.ndarray, "k"]

WIDTH = {"width-x4": 4.0, "width-over-4": 0.25}
STEPS = {"steps-x4": 4}
_DECAY = {"adamw": 0.01}  # of a recipe without any, what its arm multiplies; 5e-4 where it is a penalty in the loss
STACK = 16  # most of what stacking gains is there
STACK_BYTES = 1e8  # of the outputs of a stack, which are held several times on their way from a worker
LONG_STEP = 0.02  # seconds above which a net is no small one, and stacking not even timed
_TIMED, _WARM, _PATIENCE = 12, 2, 2.0


@dataclass(frozen=True)
class Member(Request):
    """One model. `dropped`: hash of the rows left out of it, "" for none."""

    size: int = 1
    permutation: int = 0
    part: int = 0
    arm: str = ""
    dropped: str = ""
    kind: ClassVar[str] = "member"


@dataclass(frozen=True, eq=False)
class MemberData:
    """Answer to `Member`: its outputs as in `PoolData`; no rows and the reason in `failed` where it diverged."""

    on_train: Float[np.ndarray, "n k"]
    on_validation: Float[np.ndarray, "v k"]
    steps: int
    seconds: float
    failed: str


@dataclass(frozen=True, eq=False)
class Work:
    """What every member needs, as it is sent to the workers. `steps`: of the recipe on all of train."""

    recipe: Any
    train: Split
    validation: Split
    preprocess: Callable[[Any], Any] | None
    task: str
    classes: tuple[str, ...]
    batch_size: int
    seed: int
    steps: int


def changed(recipe: Any, arm: str, steps: int) -> tuple[Any, dict[str, Any]]:
    """The recipe with an arm's one change, and the settings of its fit. What an arm does to the rows is not here."""
    if not isinstance(recipe, Recipe):
        return recipe, {}
    settings: dict[str, Any] = {"steps": steps * STEPS.get(arm, 1)}
    if arm in RATES:
        recipe = recipe.replace(lr=recipe.lr * RATES[arm])
    elif arm == "decay-x30":
        recipe = recipe.replace(weight_decay=30 * (recipe.weight_decay or _DECAY.get(recipe.optimizer, 5e-4)))
    elif arm in WIDTH:
        settings["width"] = scaled_width(recipe, arm)
    return recipe, settings


def scaled_width(recipe: Recipe, arm: str) -> float | None:
    """`build`'s own default width times the arm's factor, whole where that is whole; None where it can't be scaled."""
    own = recipe.default("width")
    if own is None:
        return None
    return max(1, round(own * WIDTH[arm])) if isinstance(own, int) else own * WIDTH[arm]


def train_members(work: Work, batch: Sequence[tuple[Member, Rows]]) -> list[tuple[Member, MemberData]]:
    """Trains models of one shape, each on its rows of train, and runs them on all of train and validation.

    Several are stacked. A model that diverges, or that the user's code fails to train, is a result.
    """
    started = time.perf_counter()
    fitted: list[Any] = [_fitted(work, *batch[0])] if len(batch) == 1 else _stacked(work, batch)
    done = []
    for (member, _), model in zip(batch, fitted, strict=True):
        empty = np.zeros((0, 0), np.float16)
        data = MemberData(empty, empty, 0, 0.0, _told(model))
        if not isinstance(model, Exception):
            steps = changed(work.recipe, member.arm, work.steps)[1].get("steps", 0)
            try:
                data = MemberData(
                    outputs(work, model, work.train), outputs(work, model, work.validation), steps, 0.0, ""
                )
            except Exception as error:
                data = replace(data, failed=_told(error))
        done.append((member, data))
    seconds = (time.perf_counter() - started) / len(batch)
    return [(member, replace(data, seconds=seconds)) for member, data in done]


def seed_of(work: Work, member: Member) -> int:
    """An arm has the seed of its plain twin."""
    return integer_seed(work.seed, "pool", member.size, member.permutation, member.part)


def _fitted(work: Work, member: Member, rows: Rows) -> Any:
    recipe, settings = changed(work.recipe, member.arm, work.steps)
    try:
        return fit_any(recipe, work.train.subset(rows), seed_of(work, member), preprocess=work.preprocess, **settings)
    except Exception as error:
        return error


def _told(error: Any) -> str:
    """Why a model is not there; of errors that are not uncork's own, with their type."""
    return str(error) if isinstance(error, UncorkError) else f"{type(error).__name__}: {error}"


def _stacked(work: Work, batch: Sequence[tuple[Member, Rows]]) -> list[nn.Module | UncorkError]:
    shape = shaped(work.recipe, batch[0][0].arm)
    jobs = []
    for member, rows in batch:
        recipe, settings = changed(work.recipe, member.arm, work.steps)
        jobs.append(Job(rows, seed_of(work, member), settings["steps"], recipe.replace(build=shape)))
    try:
        return fit_stacked(jobs, work.train, preprocess=work.preprocess)
    except UncorkError as error:
        return [error] * len(batch)


def shaped(recipe: Recipe, arm: str) -> Callable[..., Any]:
    """`build` of the arm's own width."""
    return partial(recipe.build, width=scaled_width(recipe, arm)) if arm in WIDTH else recipe.build


def outputs(work: Work, fitted: Any, split: Split) -> Float[np.ndarray, "n k"]:
    model = as_model(fitted, work.task, preprocess=work.preprocess)
    model.outputs(split.take(np.arange(1)))  # a torch module tells its number of outputs when it has run
    if work.task == "classification":
        model = aligned(model, work.classes)
    passed = forward(model, split, batch_size=work.batch_size, name="a retrained model")
    return passed.logits if work.task == "classification" else passed.predicted[:, None].astype(np.float32)


def parameters(recipe: Any, arms: Sequence[str]) -> dict[str, int]:
    """Numbers trained in the plain net ("") and in each width arm; nothing for a callable."""
    if not isinstance(recipe, Recipe):
        return {}
    widths = {"": None, **{arm: scaled_width(recipe, arm) for arm in arms if arm in WIDTH}}
    with torch.random.fork_rng(devices=[]):  # fresh nets draw their weights
        nets = {arm: recipe.make(width=width) for arm, width in widths.items()}
    return {arm: sum(p.numel() for p in net.parameters() if p.requires_grad) for arm, net in nets.items()}


def stacks(
    members: Sequence[Member], training: Mapping[str, Training], workers: int, outputs: int
) -> list[list[Member]]:
    """The members in their order, those of one shape and as many steps together where they train faster so.

    `outputs`: bytes of one model's.
    """
    found: list[list[Member]] = []
    filling: dict[tuple[str, int], list[Member]] = {}
    alike = Counter(_shape(member) for member in members)
    fitting = int(STACK_BYTES / outputs) or 1
    for member in members:
        shape = _shape(member)
        most = min(fitting, of_arm(training, member.arm).stack) if training else 1
        # As many stacks for each worker, and all as large.
        rounds = -(-alike[shape] // (most * workers))
        most = min(most, -(-alike[shape] // (rounds * workers)))
        if len(filling.get(shape, ())) >= most or shape not in filling:
            filling[shape] = []
            found.append(filling[shape])
        filling[shape].append(member)
    return found


def _shape(member: Member) -> tuple[str, int]:
    return member.arm if member.arm in WIDTH else "", STEPS.get(member.arm, 1)


def time_training(work: Work, arm: str) -> Training:
    """Seconds of one training on all of train and of its outputs, from a few timed steps of both engines.

    A callable takes no number of steps: it is timed on half of train, again where the first time was short, since that
    holds imports. Raises what the recipe raises where it can't train.
    """
    recipe, settings = changed(work.recipe, arm, work.steps)
    if not isinstance(recipe, Recipe):
        half, spent = work.train.subset(np.arange(0, len(work.train), 2)), 0.0
        for _ in range(2):
            if spent < _PATIENCE:
                started = time.perf_counter()
                fitted = fit_any(recipe, half, 0)
                spent = time.perf_counter() - started
        return Training(2 * spent + _running(work, fitted))
    step = _step_alone(work, recipe, settings)
    fitted = recipe.make(width=settings.get("width")).eval()
    running, stack, start = _running(work, fitted), 1, 0.0
    if step < LONG_STEP and not stackable(recipe.replace(build=shaped(recipe, arm)), work.train, work.preprocess):
        together, starting = _step_stacked(work, arm)
        if together < step:
            step, stack, start = together, STACK, starting
    return Training(step * settings["steps"] + start + running, stack)


def _step_alone(work: Work, recipe: Recipe, settings: dict[str, Any]) -> float:
    started, stamps = time.perf_counter(), []

    class Enough(Exception):
        pass

    def tick(step: int, total: int) -> None:
        stamps.append(time.perf_counter())
        if len(stamps) > _WARM and stamps[-1] - started > _PATIENCE:
            raise Enough

    few = {**settings, "steps": min(settings["steps"], _TIMED)}
    try:
        fit(recipe, work.train, seed=0, preprocess=work.preprocess, progress=tick, **few)
    except Enough:
        pass
    except BadInput:
        raise
    except UncorkError:  # diverged: that takes as long, and is told where it is measured
        stamps.append(time.perf_counter())
    return float(np.median(np.diff([started, *stamps])[min(_WARM, len(stamps) - 1) :]))


def _step_stacked(work: Work, arm: str) -> tuple[float, float]:
    """One model's shares of a step, from a longer training less a shorter one once warm, and of the start."""
    batch = [(Member(1, k, 0, arm), np.arange(len(work.train))) for k in range(STACK)]
    spent = []
    for steps in (_WARM, _TIMED, 3 * _TIMED):
        started = time.perf_counter()
        _stacked(replace(work, steps=steps), batch)
        spent.append(time.perf_counter() - started)
    step = max(spent[2] - spent[1], spent[1] / 2) / (2 * _TIMED)
    start = max(0.0, spent[1] - _TIMED * step)
    return step / STACK, start / STACK


def _running(work: Work, fitted: Any) -> float:
    """Seconds of a model's outputs on train and validation."""
    some = work.train.subset(np.arange(min(work.batch_size, len(work.train))))
    outputs(work, fitted, some)
    started = time.perf_counter()
    outputs(work, fitted, some)
    return (time.perf_counter() - started) / len(some) * (len(work.train) + len(work.validation))


def of_arm(training: Mapping[str, Training], arm: str) -> Training:
    """What one member of an arm takes, from `time_training`'s figures by arm."""
    plain = training[""]
    return training.get(arm, plain._replace(seconds=plain.seconds * STEPS.get(arm, 1)))
