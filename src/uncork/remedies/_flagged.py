"""Which labels of train the rest of train contradicts: what `drop-examples` and `relabel` share."""

from __future__ import annotations

import numpy as np

from uncork.derived.out_of_sample import judges
from uncork.derived.out_of_sample import probabilities as of_pool
from uncork.remedies._contract import Case
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import integer_seed
from uncork.train.folds import out_of_fold

FOLDS = 4


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


def probabilities(case: Case) -> tuple[np.ndarray, int]:
    """((n, K) of each row of train from models that have not seen it, trainings that took).

    Given, or of the audit's pool, which takes none; or of four folds.
    """
    if case.task != "classification":
        raise Unavailable("labels are contradicted by class probabilities: in a regression give a list of rows")
    train = case.subject.train
    if "out_of_fold" in case.artifacts:
        return given_probabilities(case.artifacts["out_of_fold"], len(train), case.n_classes), 0
    pool = case.artifacts.get("pool")
    if pool is not None and len(judges(pool)) >= FOLDS and np.array_equal(pool.y, train.y):
        return of_pool(pool), 0
    made = out_of_fold(
        case.subject.recipe,
        train,
        k=FOLDS,
        seed=integer_seed(case.seed, "folds"),
        preprocess=case.subject.preprocess,
        task=case.task,
        n_classes=case.n_classes,
    )
    return made, FOLDS
