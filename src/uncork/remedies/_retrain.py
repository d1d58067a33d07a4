"""Training again by the recipe on some of train: what `deduplicate` and `drop-examples` share."""

from __future__ import annotations

import numpy as np

from uncork.models.offset import Offset
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Case, Treated
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe


def retrain_without(case: Case, dropped: np.ndarray, changes: str) -> Treated:
    """The subject trained again on train less the rows in `dropped` (a mask), for as many steps as on all of it."""
    subject = case.subject
    if isinstance(subject.model, Tempered | Offset):
        what = "a temperature" if isinstance(subject.model, Tempered) else "an offset"
        raise Unavailable(f"{what} was kept before, which training again would undo: try this remedy before it")
    kept = subject.train.subset(~dropped)
    steps, settings = 0, {}
    if isinstance(subject.recipe, Recipe):
        steps = subject.recipe.steps(len(subject.train))
        settings = {"steps": steps, "preprocess": subject.preprocess}
    # Remedy and control start from the same seed, so that they differ by the rows alone.
    model = fit_any(subject.recipe, kept, integer_seed(case.seed, "retrain"), **settings)
    return Treated(
        subject=subject.replace(model=model, train=kept),
        compute=steps,
        changes=changes,
        amount=int(dropped.sum()),
    )


def random_rows(case: Case, treated: Treated) -> np.ndarray:
    """As many random rows of train as the remedy dropped, as a mask."""
    mask = np.zeros(len(case.subject.train), bool)
    mask[case.rng.permutation(len(mask))[: treated.amount]] = True
    return mask


def price_of_retraining(subject: Subject, training: float) -> float:
    return 2 * training
