"""Train with differential privacy.

What it does
------------
Trains again by the recipe with DP-SGD (Opacus): each step takes a Poisson sample of train, clips every row's gradient
to norm 1, and adds Gaussian noise to their sum. The noise is the least found that keeps ε at 8 or below, by the PRV
accountant, at a δ of a tenth of one over the rows of train; ε, δ, noise multiplier, sampling rate, steps and clipping
norm are stated with what was changed. An `augment` of the recipe is left out, since it may mix rows. For another budget
give Subject(recipe=Private(recipe, epsilon=...)), of `uncork.train.private`.

Why it helps
------------
Whatever an attacker does, he tells a model trained with a row from one trained without it only as well as (ε, δ) says.
What attacks find in practice is far less; the figure `membership` beside the treatment shows it.

Control
-------
The recipe as it is, from the same seeds: what privacy costs is what is lost against it.

Safety
------
checked: the model decides differently, and usually worse. It is judged by whether the metric is worse by more than δ of
the metric, the practical threshold; proven on test.

When it fails
-------------
The promise is for one row: a person with k rows has k·ε. It is for one model: several of them that are published, or
settings chosen on the same rows (`tune`), spend more. It holds against those who do not know the seed that the noise
was drawn from: give a seed of your own and keep it. A `preprocess` fitted on train, and a loss that mixes rows, are
outside of it. ε = 8 is weak on paper; small sets pay for less with most of their accuracy. Nets with BatchNorm mix rows
and are refused: use GroupNorm. No rate or batch is searched: larger batches for fewer steps often do better.

References
----------
Abadi et al., Deep learning with differential privacy, CCS 2016. Gopi, Lee & Wutschitz, Numerical composition of
differential privacy, NeurIPS 2021. Yousefpour et al., Opacus, arXiv 2109.12298. Ponomareva et al., How to dp-fy ML,
JAIR 77, 2023 (budgets; adjacency, sampling and accountant to be stated).
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, needs_settings
from uncork.remedies._retrain import ByRecipe
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject
from uncork.train.private import Private, check_layers

SLOWER = 3.0  # per-example gradients against plain ones, in trainings: measured on small nets


def price(subject: Subject, seeds: int) -> float:
    return (SLOWER + 1.0) * seeds


@remedy(
    title="Train with differential privacy",
    safety="checked",
    yardstick="tolerance",
    control=again,
    price=price,
    as_is=True,
    on_request=True,
)
def apply(case: Case) -> Treated:
    if isinstance(case.subject.recipe, Private):
        raise Unavailable("the recipe trains with differential privacy already")
    recipe = needs_settings(case.subject, "training with differential privacy")
    check_layers(recipe.make)
    private = Private(recipe, case.subject.preprocess)
    changes = f"differential privacy for one row, {private.spent(len(case.subject.train))}"
    if recipe.augment is not None:
        changes += "; without the recipe's augment, which may mix rows"
    return Treated(case.subject.replace(recipe=private), changes, ByRecipe(), compute=SLOWER)
