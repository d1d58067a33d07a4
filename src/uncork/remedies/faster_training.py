"""Train with the batch size that learns from most rows a second.

What it does
------------
Trains again with the batch size that was fastest in the audit's timing of half, twice and four times the recipe's, for
as many epochs. The learning rate is scaled with it: in proportion for SGD, by the square root for optimisers that
divide by gradients' size. Nothing is trained where that is not surely a quarter faster.

Why it helps
------------
Small batches leave a processor's units idle, and take the optimiser's step more often.

Control
-------
The recipe as it is, in one training.

Safety
------
checked: the retrained model decides differently; kept where it surely loses less than the tolerance on validation,
proven on test.

When it fails
-------------
Beyond the data's critical batch size fewer steps learn less, whatever the rate. The factor is that of a step whose
batch is ready: a slow reader stays slow. It was measured on this machine.

References
----------
Goyal et al., Accurate, large minibatch SGD, arXiv 1706.02677, 2017. Malladi et al., On the SDEs and scaling rules for
adaptive gradient algorithms, NeurIPS 2022. McCandlish et al., arXiv 1812.06162, 2018.
"""

from __future__ import annotations

import math

from uncork.derived.training_step import best_batch
from uncork.derived.words import interval
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, needs_settings
from uncork.remedies._retrain import retrained, two_trainings
from uncork.schema.errors import Unavailable
from uncork.schema.training_step import TrainingStepData

LEAST = 1.25  # times faster, below which nothing is worth another batch


@remedy(
    title="Train with a faster batch size",
    safety="checked",
    yardstick="tolerance",
    control=again,
    price=two_trainings,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training with another batch size")
    step: TrainingStepData | None = case.artifacts.get("step")
    found = None if step is None else best_batch(step)
    if step is None or found is None:
        raise Unavailable("no other batch size was timed: audit with the probe wasted-compute")
    size, faster = found
    if faster.low is None or faster.low < LEAST:
        raise Unavailable(f"no other batch size is surely {LEAST:g} times as fast{interval(faster, '.2f')}")
    times = size / step.batch_size
    rate = recipe.lr * (times if recipe.optimizer == "sgd" else math.sqrt(times))
    changes = (
        f"batches of {size} at a learning rate of {rate:.3g} instead of {step.batch_size} at {recipe.lr:.3g}: "
        f"{faster.value:.2f} times as many rows a second{interval(faster, '.2f')}"
    )
    return retrained(case, changes, recipe=recipe.replace(batch_size=size, lr=rate))
