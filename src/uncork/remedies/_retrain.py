"""Training again by a recipe: what all remedies that train share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uncork.remedies._contract import Case, Treated, refuse_undoing
from uncork.schema.subject import Subject
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe


def steps_of(recipe: Any, rows: int) -> dict[str, Any]:
    """The setting of `fit` by which fewer or more rows get as many steps as `rows` do; none of a callable's."""
    return {"steps": recipe.steps(rows)} if isinstance(recipe, Recipe) else {}


@dataclass(frozen=True)
class ByRecipe:
    """Makes a model from (subject, seed) by the subject's recipe on its train. `settings`: of `fit`, such as steps."""

    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, subject: Subject, seed: int) -> Any:
        settings = dict(self.settings)
        if isinstance(subject.recipe, Recipe):
            settings["preprocess"] = subject.preprocess
        return fit_any(subject.recipe, subject.train, seed, **settings)


def retrained(case: Case, changes: str, *, compute: float = 1.0, amount: int = 0, **changed: Any) -> Treated:
    """The subject with `changed` fields (train, recipe), to be trained for as many steps as its recipe takes now.

    `compute`: in trainings as the case's subject has them; where train has fewer rows the steps stay the same.
    """
    refuse_undoing(case.subject)
    subject = case.subject.replace(**changed)
    same = subject.recipe is case.subject.recipe
    settings = steps_of(subject.recipe, len(case.subject.train)) if same else {}
    return Treated(subject, changes, ByRecipe(settings), compute=compute, amount=amount)


def retrain_without(case: Case, dropped: np.ndarray, changes: str, compute: float = 1.0) -> Treated:
    """To be trained again on train less the rows in `dropped` (a mask), for as many steps as on all of it."""
    train = case.subject.train.subset(~dropped)
    return retrained(case, changes, compute=compute, train=train, amount=int(dropped.sum()))


def without_random_rows(case: Case, treated: Treated) -> Treated:
    """The control of what leaves rows out: as many random ones are, and it is trained for as many steps."""
    mask = np.zeros(len(case.subject.train), bool)
    mask[case.rng.permutation(len(mask))[: treated.amount]] = True
    return retrain_without(case, mask, f"{treated.amount} random rows left out of train")


def as_it_stands(case: Case, treated: Treated) -> Treated:
    """The control of what is fitted in seconds, with which a control could do nothing else: the model itself."""
    return Treated(case.subject, "the model as it stands")


def longer(case: Case, treated: Treated) -> Treated:
    """The control of what costs more than a training: the recipe as it is, for as many steps more as make up for it.

    Of a callable, whose steps can't be set: as it is, in one training.
    """
    subject = case.subject
    if not isinstance(subject.recipe, Recipe) or treated.compute <= 1:
        return retrained(case, "trained again as it is")
    steps = round(treated.compute * subject.recipe.steps(len(subject.train)))
    return Treated(
        subject,
        f"trained as it is for {treated.compute:.3g} times as many steps",
        ByRecipe({"steps": steps}),
        compute=treated.compute,
    )


def two_trainings(subject: Subject, seeds: int) -> float:
    """Remedy and control, one training each a seed."""
    return 2.0 * seeds


def no_training(subject: Subject, seeds: int) -> float:
    """Of what is fitted in seconds."""
    return 0.0
