"""Answer with the mean of five trainings.

What it does
------------
Trains five models by the recipe, from seeds of their own, and answers with the mean of their probabilities (of their
values in a regression).

Why it helps
------------
Each training has the luck of its seed in every answer; the mean of five has a fifth of its variance. Answers that
another seed would have changed change less.

Control
-------
One model by the same recipe, trained for five times as many steps.

Safety
------
checked: decisions change; judged on validation, proven on test. It takes five times the latency and the memory.

When it fails
-------------
Models that err alike gain nothing from each other: where all of them learnt the same wrong labels, or lack the same
rows. In fits that are sure of everything the mean mends the confidences, hardly the decisions.

References
----------
Lakshminarayanan, Pritzel & Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles,
NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from uncork.models.adapt import as_model
from uncork.models.ensemble import Ensemble
from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._retrain import longer, retrained
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject

MODELS = 5


@dataclass(frozen=True)
class Several:
    """Makes an ensemble of MODELS models from (subject, seed)."""

    one: Callable[[Subject, int], Any]
    task: str

    def __call__(self, subject: Subject, seed: int) -> Any:
        seeds = [integer_seed(seed, "ensemble", i) for i in range(MODELS)]
        fitted = [self.one(subject, s) for s in seeds]
        return Ensemble(
            [as_model(f, self.task, preprocess=subject.preprocess, features=subject.features) for f in fitted]
        )


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * MODELS * seeds


@remedy(
    title="Answer with the mean of several trainings",
    safety="checked",
    yardstick="metric",
    control=longer,
    price=price,
    combines=True,
)
def apply(case: Case) -> Treated:
    needs_recipe(case.subject, "training several models")
    changes = f"{MODELS} models, trained from seeds of their own, answer by their mean: {MODELS} times the latency"
    one = retrained(case, changes, compute=MODELS)
    assert one.train is not None
    return replace(one, train=Several(one.train, case.task))
