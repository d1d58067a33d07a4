"""What the model and its recipe are without each of their parts.

What it gathers
---------------
Blocks are the outermost submodules with parameters that return the shape they are given; members of a sequence, not
the sequence. Each is passed over in the model as it is: its outputs on validation, and the wall time of one batch side
by side with the model's. Where there is a recipe, its net is trained without each block, and the recipe without each of
its tricks (augmentation, weight decay, a schedule, dropout), from the same seeds and initial weights as with it, for as
many steps, and run on validation.

How it streams
--------------
At most 2,048 rows of validation, a seeded sample; outputs of them alone are kept. At most 24 blocks are passed over and
6 trained without, those with most parameters.

What it costs
-------------
A pass over these rows for each block. Three trainings for the recipe, each trick and each of the 6 blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.base import logits_of
from uncork.models.clock import side_by_side
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import TorchModel, evaluating
from uncork.schema.errors import Unavailable, UncorkError
from uncork.schema.idle_parts import IdleParts, IdlePartsData
from uncork.schema.seeds import integer_seed
from uncork.train.parts import Without, WithoutDropout, blocks, drops, passed_over
from uncork.train.recipe import Recipe
from uncork.train.tuned import fitted_net

ROWS, MOST, TRAINED, ROUNDS, BATCH = 2048, 24, 6, 20, 32


def price(request: IdleParts, context: Context) -> float:
    seconds = context.training[""].seconds if "" in context.training else 0.0
    passes = MOST * (ROWS + ROUNDS * BATCH) * context.seconds_per_row
    return passes + request.seeds * (1 + TRAINED + 2) * seconds / context.fan.workers


@gatherer(IdleParts, price=price)
def gather(request: IdleParts, context: Context) -> IdlePartsData:
    model, split, preprocess = context.model, context.split("validation"), context.subject.preprocess
    if not isinstance(model, TorchModel):
        raise Unavailable("the model shows no parts: give a torch module")
    judged = split.subset(sample(split, ROWS, context.seed, "idle-parts", "validation"))
    batch = place(to_tensors(judged.take(np.arange(min(BATCH, len(judged)))), preprocess), reference(model.module))
    by_size = sorted(blocks(model.module, batch), key=lambda name: -_size(model.module, name))
    left_out = dict.fromkeys(by_size[MOST:], f"only the {MOST} largest are tried")
    outputs, names = [logits_of(model, judged)], []
    for name in by_size[:MOST]:
        try:
            with passed_over(model.module, name):
                out = logits_of(model, judged)
        except (UncorkError, RuntimeError, ValueError, AttributeError) as error:
            left_out[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
            continue
        if np.isfinite(out).all():
            outputs.append(out)
            names.append(name)
        else:
            left_out[name] = "outputs are not finite without it"
    arms, retrained, why = _retrained(request, context, judged, names)
    sizes = [sum(p.numel() for p in model.module.parameters()), *(_size(model.module, name) for name in names)]
    return IdlePartsData(
        task=context.facts.task,
        blocks=tuple(names),
        outputs=np.stack(outputs).astype(np.float32),
        parameters=np.array(sizes, dtype=np.int64),
        seconds=side_by_side([_run(model.module, batch, name) for name in (None, *names)], ROUNDS, seed=context.seed),
        arms=arms,
        retrained=retrained,
        left_out=left_out | why,
        y=np.asarray(judged.y),
        clusters=np.arange(len(judged)) if judged.groups is None else np.unique(judged.groups, return_inverse=True)[1],
    )


def _size(module: nn.Module, name: str) -> int:
    return sum(p.numel() for p in module.get_submodule(name).parameters())


def _run(module: nn.Module, batch: Any, name: str | None) -> Callable[[], None]:
    def run() -> None:
        with evaluating(module), torch.inference_mode():
            if name is None:
                call(module, batch)
                return
            with passed_over(module, name):
                call(module, batch)

    return run


def _retrained(
    request: IdleParts, context: Context, judged: Split, names: list[str]
) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """(what was trained without, outputs (1 + q, s, v, k), why some were not)."""
    none = np.zeros((1, 0, len(judged), 1), np.float32)
    recipe, train = context.subject.recipe, context.subject.train
    if not isinstance(recipe, Recipe) or train is None:
        return (), none, {"arms": "nothing is trained without a part: give Subject(train=..., recipe=Recipe(...))"}
    arms, why = _arms(recipe, names)
    seeds = [integer_seed(context.seed, "idle-parts", s) for s in range(request.seeds)]
    task, preprocess = context.facts.task, context.subject.preprocess
    jobs = [(r, train, judged, None, task, seed, preprocess) for r in (recipe, *arms.values()) for seed in seeds]
    done = [None if out is None else out.reshape(len(judged), -1) for out, _ in context.fan(fitted_net, jobs)]
    by_arm = [done[i : i + len(seeds)] for i in range(0, len(done), len(seeds))]
    if any(out is None for out in by_arm[0]):
        return (), none, {"arms": "the recipe itself diverged: lower lr"}
    kept = {}
    for name, outs in zip(arms, by_arm[1:], strict=True):
        if any(out is None for out in outs):
            why[name] = "training without it diverged, or its outputs are not finite"
        else:
            kept[name] = outs
    return tuple(kept), np.array([by_arm[0], *kept.values()], dtype=np.float32), why


def _arms(recipe: Recipe, names: list[str]) -> tuple[dict[str, Recipe], dict[str, str]]:
    """(recipes without one thing, by what that is; blocks that the recipe's own net does not have, and why)."""
    with torch.random.fork_rng(devices=[]):  # a fresh net draws its weights
        module = recipe.make()
    found: dict[str, Recipe] = {}
    if recipe.augment is not None:
        found["augmentation"] = recipe.replace(augment=None)
    if recipe.weight_decay > 0:
        found["weight decay"] = recipe.replace(weight_decay=0.0)
    if recipe.schedule != "constant":
        found[f"{recipe.schedule} schedule"] = recipe.replace(schedule="constant")
    if drops(module):
        found["dropout"] = recipe.replace(build=WithoutDropout(recipe.build))
    own = dict(module.named_modules())
    why = {f"block {name}": "the recipe's net has no such part" for name in names[:TRAINED] if name not in own}
    for name in (n for n in names[:TRAINED] if n in own):
        found[f"block {name}"] = recipe.replace(build=Without(recipe.build, name))
    return found, why
