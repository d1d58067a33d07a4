"""Stop training where the loss on held-out rows is lowest.

What it does
------------
Holds out a fifth of train (classes balanced, groups together) and trains on the rest until the loss on it has not
fallen for a quarter of the epochs; three times, with other fifths. Then trains on all of train for the median of the
steps at which it was lowest, the learning rate's schedule run through in these.

Why it helps
------------
What all rows share is learnt first, and single rows by heart later: between the two the model is at its best.

Control
-------
The recipe as it is, from the same seeds. Training for longer, with the compute of searching, would only flatter the
remedy.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
The loss is lowest before the errors are fewest where a net grows too sure: then stopping costs errors, and a
`temperature` is the remedy. A schedule run through in fewer steps is not the one that was cut short. Where the loss
falls to the end, it says so and is not applied.

References
----------
Prechelt, Early stopping – but when?, in Neural networks: tricks of the trade, Springer 1998. Morgan & Bourlard,
Generalization and parameter estimation in feedforward nets, NeurIPS 1989.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, needs_settings, parts
from uncork.remedies._retrain import retrained
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

CARVES = 3
_LEAST_PATIENCE = 3  # epochs


def best_steps(
    recipe: Recipe, train: Split, held: Split, steps: int, seed: int, preprocess: Callable[[Any], Any] | None
) -> tuple[int, int]:
    """(steps at which the loss on `held` was lowest, steps taken) of at most `steps`."""
    patience = max(_LEAST_PATIENCE, recipe.epochs // 4)
    found = fit(recipe, train, seed=seed, steps=steps, validation=held, patience=patience, preprocess=preprocess)
    epoch = 1 + int(np.argmin(found.validation_loss))
    return min(epoch * math.ceil(len(train) / recipe.batch_size), steps), found.steps


def price(subject: Subject, seeds: int) -> float:
    return CARVES + 2.0 * seeds


@remedy(
    title="Stop training where the held-out loss is lowest",
    safety="checked",
    yardstick="metric",
    control=again,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "stopping early")
    train, part, seed = case.subject.train, parts(case), integer_seed(case.seed, "early-stop")
    steps = recipe.steps(len(train))
    jobs = [
        (recipe, train.subset(part != k), train.subset(part == k), steps, seed, case.subject.preprocess)
        for k in range(CARVES)
    ]
    found = np.array(case.fan(best_steps, jobs))
    epochs = max(1, round(recipe.epochs * float(np.median(found[:, 0])) / steps))
    if epochs >= recipe.epochs:
        raise Unavailable("the loss on held-out rows of train falls to the end: there is nothing to stop before")
    compute = float(found[:, 1].sum() / steps) + epochs / recipe.epochs
    changes = f"{epochs} epochs instead of {recipe.epochs}: where the loss on {CARVES} fifths of train was lowest"
    return retrained(case, changes, compute=compute, recipe=recipe.replace(epochs=epochs))
