"""Train for 4 times as many steps.

What it does
------------
Trains again for 4 times the recipe's epochs, the learning rate's schedule stretched with them: what the audit's arm
did.

Why it helps
------------
Where the loss on train still falls at the end of training, more steps fit what is there to be fitted.

Control
-------
The same compute spent on the recipe as it is: 4 trainings from seeds of their own, of which the one with the lowest
training loss stays. What is gained beyond it is the longer schedule's, not a lucky start's.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
A net that learns train by heart does more of it. Wrong labels are learnt last, by more steps. Where the learning rate
is too small, a larger one gains as much at no cost.

References
----------
Hoffer, Hubara & Soudry, Train longer, generalize better, NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import needs_settings
from uncork.remedies._retrain import retrained
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.loop import fit

TIMES = 4


@dataclass(frozen=True)
class BestStart:
    """Makes a model from (subject, seed): of `starts` trainings the one with the lowest loss over its last epoch."""

    starts: int

    def __call__(self, subject: Subject, seed: int) -> Any:
        seeds = [seed, *(integer_seed(seed, "start", number) for number in range(1, self.starts))]
        made = (fit(subject.recipe, subject.train, seed=each, preprocess=subject.preprocess) for each in seeds)
        return min(made, key=lambda trained: trained.loss[-1]).module


def control(case: Case, treated: Treated) -> Treated:
    changes = f"trained {TIMES} times as it is, the one with the lowest training loss kept"
    return Treated(case.subject, changes, BestStart(TIMES), compute=TIMES)


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * TIMES * seeds


@remedy(
    title="Train for 4 times as many steps",
    safety="checked",
    yardstick="metric",
    control=control,
    price=price,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training for longer")
    longer = recipe.replace(epochs=TIMES * recipe.epochs)
    return retrained(case, f"{longer.epochs} epochs instead of {recipe.epochs}", compute=TIMES, recipe=longer)
