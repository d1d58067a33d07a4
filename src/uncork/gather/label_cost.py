"""Models of rows of train that were labelled at random and by strategy.

What it gathers
---------------
Labels are bought again from train, which has them: from 15 % of it, drawn at random, each strategy (margin, TypiClust,
BADGE) and chance add as many rows again; chance adds three times as many too. A model is trained on each, for as many
steps as the recipe takes on all of train, and answers validation. Five repeats, each with rows and a seed of its own.
What is trained is the recipe. Where its encoder is frozen (`pool="head"`), or where it takes more than ten minutes or
is absent and `backbones` were given, linear heads on features are trained instead, and the artifact says so: never
heads on the model's own features, which have seen the labels of all of train.

How it streams
--------------
Batches; logits on validation are kept, 4 bytes a class, row and model.

What it costs
-------------
30 trainings (25 where nothing further is bought), each repeat's in a process of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.models.on_features import as_encoder, features_of
from uncork.remedies._contract import needs_recipe
from uncork.schema.errors import Unavailable
from uncork.schema.label_cost import LabelCost, LabelCostData
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.train.acquire import STRATEGIES, bought
from uncork.train.linear_head import HeadRecipe

START, ADDED, FURTHER = 0.15, 0.15, 0.45  # shares of train: labelled at first, bought, and bought further
REPEATS = 5
FEWEST = 100  # rows of train
MOST_SECONDS = 600.0  # of retraining, beyond which heads do where there is something to put them on
_HEAD = 0.5  # seconds of a linear head


def trainings(request: LabelCost) -> int:
    return REPEATS * (1 + len(STRATEGIES) + request.further)


def price(request: LabelCost, context: Context) -> float:
    count = trainings(request)
    name = _stands_in(request, context)
    if name:
        rows = len(context.split("train")) + len(context.split("validation"))
        return count * _HEAD + rows * context.seconds_per_row
    if isinstance(context.heads, Subject) or context.subject.recipe is None:
        return count * _HEAD
    return _seconds(request, context)


@gatherer(LabelCost, price=price)
def gather(request: LabelCost, context: Context) -> LabelCostData:
    return simulated(request, context)


def simulated(request: LabelCost, context: Context) -> LabelCostData:
    """What was bought and what it gives. Raises Unavailable where nothing can be tried."""
    if context.facts.task != "classification":
        raise Unavailable("rows to label are chosen by class probabilities: a regression has none")
    subject, by = _trained(request, context)
    train, rows = subject.train, len(subject.train)
    if rows < FEWEST:
        raise Unavailable(f"train has {rows} rows: under {FEWEST} no strategy can be tried on it")
    sizes = [round(START * rows), round(ADDED * rows), round(FURTHER * rows)]
    jobs = []
    for repeat in range(REPEATS):
        start = generator(context.seed, "acquire", repeat).permutation(rows)[: sizes[0]]
        if len(np.unique(train.y[start])) < 2:
            raise Unavailable("15 % of train holds one class alone: no strategy can be tried on it")
        once = integer_seed(context.seed, "acquire", "model", repeat)
        further = sizes[2] if request.further else 0
        jobs.append((subject.without_test(), context.facts.classes, start, sizes[1], once, further))
    found = context.fan(bought, jobs)
    validation = subject.validation
    groups = np.arange(len(validation)) if validation.groups is None else validation.groups
    random = ("start", "random", "further")[: 2 + request.further]
    strategies = tuple(name for name in STRATEGIES if name != "random")
    curve, chosen = (
        np.stack([np.stack([each[name] for each in found]) for name in names]) for names in (random, strategies)
    )
    return LabelCostData(
        strategies=strategies,
        sizes=sizes[0] + np.array([0, *sizes[1:]])[: len(random)],
        curve=curve,
        chosen=chosen,
        y=validation.y,
        clusters=np.unique(groups, return_inverse=True)[1],
        available=rows,
        by=by,
    )


def _seconds(request: LabelCost, context: Context) -> float:
    each = context.training[""].seconds if "" in context.training else 0.0
    return trainings(request) * each / min(context.fan.workers, REPEATS)


def _stands_in(request: LabelCost, context: Context) -> str:
    """The backbone whose features heads are put on; "" where they are not."""
    subject = context.subject
    if not subject.backbones or isinstance(context.heads, Subject):
        return ""
    dear = subject.recipe is None or _seconds(request, context) > MOST_SECONDS
    return next(iter(subject.backbones)) if dear else ""


def _trained(request: LabelCost, context: Context) -> tuple[Subject, str]:
    """(what is trained, in rows and a recipe, and its name)."""
    if isinstance(context.heads, Subject):
        return context.heads, "linear heads on the frozen encoder"
    subject = context.subject
    if name := _stands_in(request, context):
        assert subject.backbones is not None
        encoder = as_encoder(subject.backbones[name], subject.preprocess)
        splits = {
            each: Split(features_of(encoder, split), split.y, groups=split.groups)
            for each, split in (("train", context.split("train")), ("validation", context.split("validation")))
        }
        head = HeadRecipe("classification", len(context.facts.classes))
        changed = subject.replace(**splits, recipe=head, preprocess=None, features=None, unlabelled=None)
        return replace(changed, backbones=None), f"linear heads on features of {name}"
    needs_recipe(subject, "trying strategies on train")
    return subject, "the recipe"
