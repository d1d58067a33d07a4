"""Train on the rows that an attacker within the declared threat would make of them.

What it does
------------
Trains again by the recipe, where each batch is first moved against the net as it stands. For a declared L∞ threat ε
(`require={"linf": ε}`) by N-FGSM: uniform noise of ± 2 ε, and from there one step of ε along the sign of the gradient.
For L2 by PGD: from a random point of the ball three steps of ⅚ ε, projected onto it. Rows are moved in their own units,
before `preprocess`, which a gradient must pass through: normalisation belongs there or inside the model.

Why it helps
------------
A net that has learnt its labels from the worst rows within reach leaves an attacker less to find.

Control
-------
The recipe on rows moved at random as far as the threat reaches, for as many more steps as the attack's passes would
have taken (2 times for L∞, 4 times for L2).

Safety
------
checked: the model decides differently, and on rows that nobody attacked usually worse: the metric stands beside it.
Judged by the attacked rows that stay right, on validation.

When it fails
-------------
It hardens against the declared threat and little else: another norm or size, rotations, another background. A large
threat costs errors on clean rows, or leaves a net that learns nothing; small nets can't learn both. A single step can
overfit to itself at a large ε: accuracy under a real attack then falls to 0, which the audit's attacks see. It
guarantees nothing: `smooth` does.

References
----------
De Jorge et al., Make some noise: reliable and efficient single-step adversarial training, NeurIPS 2022 (arXiv
2202.01181). Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018. Wong, Rice &
Kolter, Fast is better than free, ICLR 2020. Tsipras et al., Robustness may be at odds with accuracy, ICLR 2019.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import needs_settings
from uncork.remedies._retrain import ByRecipe
from uncork.schema.errors import Unavailable
from uncork.schema.subject import THREATS, Subject
from uncork.train.adversarial import Move, Moved, NoisyFgsm, ProjectedGradient, RandomNoise, check_moves
from uncork.train.recipe import Recipe

_MOST_PASSES = 3


def declared(subject: Subject) -> tuple[str, float]:
    """(norm, size) of the subject's threat. Raises Unavailable where it declares none."""
    for norm in THREATS:
        if norm in (subject.require or {}):
            return norm, float((subject.require or {})[norm])
    raise Unavailable("no threat is declared: give Subject(require={'linf': ...}), how far an attacker may move x")


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * (1 + (1 if "linf" in (subject.require or {}) else _MOST_PASSES)) * seeds


def at_random(case: Case, treated: Treated) -> Treated:
    norm, size = declared(case.subject)
    recipe: Recipe = case.subject.recipe
    steps = round(treated.compute * recipe.steps(len(case.subject.train)))
    moved = Moved(recipe, RandomNoise(norm, size), case.subject.preprocess, fixed_steps=steps)
    changes = f"rows moved at random by {size:g} in {norm}, for {treated.compute:g} times as many steps"
    return Treated(case.subject.replace(recipe=moved), changes, ByRecipe(), compute=treated.compute)


@remedy(
    title="Train on attacked rows",
    safety="checked",
    yardstick="finding",
    control=at_random,
    price=price,
    on_request=True,
)
def apply(case: Case) -> Treated:
    norm, size = declared(case.subject)
    if case.task != "classification":
        raise Unavailable("a regression has no decision that an attack could turn")
    recipe = needs_settings(case.subject, "training on attacked rows")
    move: Move = NoisyFgsm(size) if norm == "linf" else ProjectedGradient(size, _MOST_PASSES)
    moved = Moved(recipe, move, case.subject.preprocess)
    check_moves(moved, case.subject.train)
    how = "N-FGSM, one step" if norm == "linf" else f"PGD, {_MOST_PASSES} steps"
    changes = f"trained on rows attacked within {size:g} in {norm} ({how})"
    return Treated(case.subject.replace(recipe=moved), changes, ByRecipe(), compute=1.0 + move.passes)
