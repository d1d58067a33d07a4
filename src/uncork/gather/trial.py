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

import time
from typing import Any

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

MOST_ROWS = 20_000
WHO = "rival families"
WIDE, COMPONENTS = 256, 64


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


def fit_rival(
    family: str, x: np.ndarray, y: np.ndarray, fresh: np.ndarray, task: str, classes: int, seed: int
) -> tuple[np.ndarray, float]:
    """(outputs on `fresh`: (n, K) log probabilities or (n,) values; seconds to fit). Runs in a process of its own."""
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[Any] = []
    if family != "gbdt" or x.shape[1] > WIDE:
        steps = [SimpleImputer(keep_empty_features=True), StandardScaler()]
    if x.shape[1] > WIDE:
        steps.append(PCA(min(COMPONENTS, len(x) - 1), svd_solver="randomized", random_state=seed))
    rival = make_pipeline(*steps, _estimator(family, task, seed, len(x)))
    start = time.perf_counter()
    rival.fit(x, y)
    spent = time.perf_counter() - start
    if task != "classification":
        return np.asarray(rival.predict(fresh), np.float64), spent
    probability = np.full((len(fresh), classes), 1e-12)
    probability[:, rival.classes_] = np.maximum(rival.predict_proba(fresh), 1e-12)
    return np.log(probability).astype(np.float32), spent


def _estimator(family: str, task: str, seed: int, rows: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    known = {
        ("linear", "classification"): lambda: LogisticRegression(max_iter=200),
        ("linear", "regression"): lambda: Ridge(),
        ("knn", "classification"): lambda: KNeighborsClassifier(min(10, rows), weights="distance"),
        ("knn", "regression"): lambda: KNeighborsRegressor(min(10, rows), weights="distance"),
        ("gbdt", "classification"): lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
        ("gbdt", "regression"): lambda: HistGradientBoostingRegressor(early_stopping=False, random_state=seed),
    }
    return known[family, task]()
