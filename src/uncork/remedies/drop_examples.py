"""Leave out train rows whose label the rest of train contradicts, and train again.

What it does
------------
Takes the rows from a list (`treat(evidence={"drop": ids})`), or flags them from out-of-fold probabilities: given
(`evidence={"out_of_fold": (n, K) array}`), those of the audit's retrained models that have not seen the row, or made by
four-fold training. A row is flagged when some other class is given at least the probability that rows of that class get
on average, and more than any such class's, and the most likely class is not its label. Then trains again by the recipe
for the same number of steps.

Why it helps
------------
A wrong label can only be learnt by heart, and what surrounds it pays.

Control
-------
Training again, from the same seed and for as many steps, without as many random rows.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where the model fits badly most flags are its own mistakes, and hard but right rows are lost: so the control. Rows of
rare classes are flagged too easily. Wrong labels in validation hide part of the gain. Remedy and control are trained
once each, from one seed: what is judged are these two models, and another seed would differ by more than rows do.

References
----------
Northcutt, Jiang & Chuang, Confident learning, JAIR 70, 2021 (the thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.derived.out_of_sample import judges, probabilities
from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._retrain import random_rows, retrain_without
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.stats.confident import flag
from uncork.train.folds import out_of_fold

FOLDS = 4


def listed(ids: Sequence[object], known: np.ndarray) -> np.ndarray:
    """Mask of the rows with these ids. Raises BadInput where an id is not one of train's."""
    wanted = {str(i) for i in ids}
    names = [str(i) for i in known]
    strangers = wanted - set(names)
    if strangers:
        raise BadInput(
            f"the list of rows to drop holds {sorted(strangers)[0]!r}, which is no id of train: "
            f"ids look like {names[0]!r} (positions from 0 where the split has no ids of its own)"
        )
    return np.array([name in wanted for name in names])


def given_probabilities(values: object, n: int, classes: int) -> np.ndarray:
    """(n, K) out-of-fold probabilities that a user gave. Raises BadInput where they are none, or of another shape."""
    given = np.asarray(values, float)
    if given.shape != (n, classes):
        raise BadInput(
            f"out_of_fold has shape {given.shape}: give one probability per row of train and class, ({n}, {classes})"
        )
    wrong = np.flatnonzero(~(np.abs(given.sum(axis=1) - 1) <= 1e-3) | (given < 0).any(axis=1))
    if len(wrong):
        raise BadInput(f"out_of_fold: row {wrong[0]} is no distribution over the classes: give probabilities")
    return given


def control(case: Case, treated: Treated) -> Treated:
    return retrain_without(case, random_rows(case, treated), f"{treated.amount} random rows left out of train")


def price(subject: Subject, training: float) -> float:
    return (FOLDS + 2) * training


@remedy(
    title="Leave out train rows whose label the rest contradicts",
    safety="checked",
    yardstick="metric",
    control=control,
    price=price,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    needs_recipe(subject, "training again without some rows")
    if "drop" in case.artifacts:
        dropped, how = listed(case.artifacts["drop"], subject.train.ids), "listed"
    else:
        dropped, how = flag(_probabilities(case), subject.train.y), "flagged by out-of-fold probabilities"
    if not dropped.any() or dropped.all():
        raise Unavailable("no row of train is contradicted by the rest" if not dropped.any() else "every row is listed")
    share = 100 * dropped.mean()
    return retrain_without(case, dropped, f"{int(dropped.sum())} rows ({share:.1f} %) left out of train, {how}")


def _probabilities(case: Case) -> np.ndarray:
    if case.task != "classification":
        raise Unavailable("labels are contradicted by class probabilities: in a regression give a list of rows")
    train = case.subject.train
    if "out_of_fold" in case.artifacts:
        return given_probabilities(case.artifacts["out_of_fold"], len(train), case.n_classes)
    pool = case.artifacts.get("pool")
    if pool is not None and len(judges(pool)) >= FOLDS and np.array_equal(pool.y, train.y):
        return probabilities(pool)
    return out_of_fold(
        case.subject.recipe,
        train,
        k=FOLDS,
        seed=integer_seed(case.seed, "folds"),
        preprocess=case.subject.preprocess,
        task=case.task,
        n_classes=case.n_classes,
    )
