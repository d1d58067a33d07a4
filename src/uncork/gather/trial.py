"""Rival families fitted on the same data.

What it gathers
---------------
Each family is fitted on four fifths of train and scored on the last fifth; the best one is fitted again on all of train
and gives its outputs on validation. Only those are compared with the model.

How it streams
--------------
It doesn't: at most 20,000 rows of train and of validation, a seeded sample, are read as one matrix of 32-bit floats;
beyond 256 columns the first 64 principal components (of train) stand for them.

What it costs
-------------
One small fit per family and one of the winner, each in a process of its own with one thread, where nothing else
slows it down.
"""

from __future__ import annotations

import numpy as np

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import matrix, sample, width
from uncork.schema.artifacts import PassData, Trial, TrialData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.metric import Metric
from uncork.schema.seeds import integer_seed
from uncork.stats.score import score
from uncork.train.rivals import COMPONENTS, MOST_ROWS, WIDE, fit_rival

WHO = "rival families"


def price(request: Trial, context: Context) -> float:
    """Rough: boosting dominates, twice fitted, at about 18 ns per row, tree and column on one core."""
    train = _train(context)
    rows, row = min(len(train), MOST_ROWS), width(train)
    columns = COMPONENTS if row > WIDE else row
    trees = 100 * max(1, len(context.facts.classes) if len(context.facts.classes) > 2 else 1)
    return 3.0 + 3.6e-8 * rows * columns * trees + 1e-3 * trees


@gatherer(Trial, price=price)
def gather(request: Trial, context: Context) -> TrialData:
    seed = integer_seed(context.seed, "trial")
    train, validation = _train(context), context.split("validation")
    x, y, groups = _matrix(train, context.seed)
    rows = sample(validation, MOST_ROWS, context.seed, "trial", "validation")
    fresh = matrix(validation, "validation", rows, WHO)
    task, metric, classes = context.facts.task, context.facts.metric, len(context.facts.classes)
    screen = _screen(Split(x, y, groups=groups), seed, task)
    jobs = [(family, x[~screen], y[~screen], x[screen], task, classes, seed) for family in request.families]
    screened, seconds = [], []
    for outputs, spent in context.fan(fit_rival, jobs):
        screened.append(_value(metric, outputs, y[screen], task))
        seconds.append(spent)
    winner = request.families[int(np.argmin(metric.sign * np.array(screened)))]
    ((outputs, _),) = context.fan(fit_rival, [(winner, x, y, fresh, task, classes, seed)])
    assert validation.y is not None
    groups_there = None if validation.groups is None else np.unique(validation.groups, return_inverse=True)[1][rows]
    make = PassData.of_logits if task == "classification" else PassData.of_values
    return TrialData(
        families=request.families,
        screened=tuple(screened),
        seconds=tuple(seconds),
        screen_rows=int(screen.sum()),
        fitted_rows=len(x),
        winner=winner,
        passed=make(outputs, validation.y[rows], rows=rows, clusters=groups_there),
    )


def _train(context: Context) -> Split:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: rival families need the rows themselves")
    return context.split("train")


def _screen(split: Split, seed: int, task: str) -> np.ndarray:
    """Mask of the fifth of train that screens. Raises Unavailable where train is too small for it."""
    assert split.y is not None
    try:
        screen: np.ndarray = folds(split, 5, seed, stratify=task == "classification") == 0
    except BadInput as e:
        raise Unavailable(f"train is too small to screen rivals inside it: {e}") from None
    if task == "classification" and len(np.unique(split.y[~screen])) < 2:
        raise Unavailable("train is too small to screen rivals inside it: only one class is left to fit them on")
    return screen


def _matrix(train: Split, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(rows as a float32 matrix, labels, groups) of at most MOST_ROWS rows of train."""
    rows = sample(train, MOST_ROWS, seed, "trial", "train")
    assert train.y is not None
    groups = None if train.groups is None else train.groups[rows]
    return matrix(train, "train", rows, WHO), train.y[rows], groups


def _value(metric: Metric, outputs: np.ndarray, y: np.ndarray, task: str) -> float:
    make = PassData.of_logits if task == "classification" else PassData.of_values
    value = score(metric, make(outputs, y)).value
    return metric.sign * float("inf") if value is None else value  # unknown is the worst there is
