"""The net without some of its channels, beside what else could be had for the same steps.

What it gathers
---------------
How far pruning may go is rehearsed inside train: the recipe trains a net on four fifths of it, from which none, a
quarter, a half and three quarters of each layer's channels are pruned, once redundant ones are merged, by the magnitude
of their weights and by Taylor's importance; each is trained on, as the dense net is, and scored on the last fifth. The
largest ratio that loses no more than δ there is done to the model itself: redundant channels are merged, the ratio of
the rest pruned, BatchNorm's statistics measured anew on train, and the net trained on for a fifth of the recipe's
steps, by its learning rate and schedule. On validation, over three seeds: that net; the dense one with the same further
steps; one of as many channels pruned at random; and a net of the pruned one's sizes trained from scratch by the recipe.
Parameters are counted, and forward passes of the dense and the pruned net timed side by side.

How it streams
--------------
Rows are read in batches; validation at most 4,096 rows of it, a seeded sample. What layers read is summed into products
of columns.

What it costs
-------------
About seven trainings by the recipe: one for the rehearsal, a fifth of one for each net that is trained on, and three of
the small net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.clock import side_by_side
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import evaluating
from uncork.remedies._smaller import SHARE, Setting, answers, merging, net_of, rehearse, setting_of, shrunk, tuned_on
from uncork.schema.errors import Unavailable
from uncork.schema.redundant_channels import ARMS, Redundancy, RedundancyData
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit
from uncork.train.resized import again

SEEDS = 3
ROUNDS, BATCH_SIZES, MOST_ROWS = 40, (1, 64), 4096


def price(request: Redundancy, context: Context) -> float:
    seconds = context.training[""].seconds if "" in context.training else 0.0
    rehearsed = 1 + len(request.ratios) * len(request.importances)
    trainings = 1 + SEEDS + SHARE * (rehearsed + 3 * SEEDS)
    return trainings * seconds / context.fan.workers


@gatherer(Redundancy, price=price)
def gather(request: Redundancy, context: Context) -> RedundancyData:
    subject, task, train = context.subject, context.facts.task, context.split("train")
    setting = setting_of(subject, task, integer_seed(context.seed, "redundancy"))
    module = net_of(context.model)
    merged = merging(module, train, setting)  # before all else: it may not be possible
    # Where no channel is redundant, a ratio of 0 leaves the net as it is.
    real = np.array([ratio > 0 or merged.redundant > 0 for ratio in request.ratios])
    if not real.any():
        raise Unavailable("no channel repeats another, and no share above 0 was asked for")
    candidates = [(importance, ratio) for importance in request.importances for ratio in request.ratios]
    rehearsal = rehearse(candidates, train, context.facts.metric, setting, context.fan)
    rehearsed = rehearsal.losses.reshape(len(request.importances), len(request.ratios))
    within = (rehearsed <= rehearsal.delta).any(axis=0) & real
    at = int(np.flatnonzero(within)[-1]) if within.any() else int(np.flatnonzero(real)[0])
    if not np.isfinite(rehearsed[:, at]).any():
        raise Unavailable("none of the pruned nets could be trained on: lower recipe.lr")
    importance, ratio = request.importances[int(rehearsed[:, at].argmin())], request.ratios[at]

    small, change = shrunk(module, importance, ratio, train, setting)
    validation = context.split("validation")
    rows = sample(validation, MOST_ROWS, context.seed, "redundancy", "validation")
    judged = validation.subset(rows)
    seeds = [integer_seed(setting.seed, "model", s) for s in range(SEEDS)]
    jobs = [
        (arm, small if arm == "pruned" else module, change, ratio, train, judged, setting, seed)
        for arm in ARMS
        for seed in seeds
    ]
    outputs = np.stack(context.fan(_answer, jobs))
    own, alone = (answers(net, judged, setting) for net in (module, merged.module))
    groups = judged.groups
    assert judged.y is not None
    return RedundancyData(
        ratios=np.array(request.ratios),
        importances=request.importances,
        rehearsed=rehearsed,
        rehearsal_rows=rehearsal.rows,
        within=bool(within.any()),
        ratio=ratio,
        importance=importance,
        redundant=merged.redundant,
        channels=sum(len(module.get_submodule(root).get_parameter("weight")) for root in merged.roots),
        merged_gap=float(np.abs(own - alone).max()),
        outputs=outputs.reshape(len(ARMS), SEEDS, *outputs.shape[1:]),
        checkpoint=own[None],
        task=task,
        rows=rows,
        y=judged.y,
        clusters=rows if groups is None else np.unique(groups, return_inverse=True)[1],
        parameters=np.array([sum(p.numel() for p in net.parameters()) for net in (module, small)]),
        seconds=np.stack([_timed((module, small), train, size, setting) for size in BATCH_SIZES]),
        batch_sizes=BATCH_SIZES,
        steps=setting.steps,
    )


def _answer(
    arm: str, module: nn.Module, change: Any, ratio: float, train: Split, judged: Split, setting: Setting, seed: int
) -> np.ndarray:
    """Outputs on the rows that judge, of one seed's model of an arm. module: what it starts from."""
    if arm == "from scratch":
        recipe = setting.recipe.replace(build=again(setting.recipe.build, change))
        return answers(fit(recipe, train, seed=seed, preprocess=setting.preprocess).module, judged, setting)
    if arm == "random":  # other channels with every seed
        module, _ = shrunk(module, "random", ratio, train, replace(setting, seed=seed))
    return answers(tuned_on(module, train, setting, seed), judged, setting)


def _timed(nets: Sequence[nn.Module], train: Split, size: int, setting: Setting) -> np.ndarray:
    """(rounds, 2) seconds of a forward pass of each, of the same rows."""
    rows = np.resize(np.arange(len(train)), size)
    batch = place(to_tensors(train.take(rows), setting.preprocess), reference(nets[0]))

    def work(net: nn.Module) -> Callable[[], Any]:
        def forward() -> None:
            with torch.inference_mode():
                call(net, batch)

        return forward

    with evaluating(nets[0]):
        return side_by_side([work(net) for net in nets], ROUNDS, seed=setting.seed)
