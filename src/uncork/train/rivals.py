"""Rival families: how each is fitted on a matrix of numbers, untuned."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.models.base import frame_matrix, is_frame
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

WIDE, COMPONENTS = 256, 64
SMALL_TREES = 30  # of "small-gbdt", for each class
MOST_ROWS = 20_000  # that a rival is fitted on


@dataclass(frozen=True)
class RivalRecipe:
    """A recipe that fits one family on a seeded sample of train, read as one matrix of 32-bit floats.

    The fitted pipeline takes batches as a split gives them. Raises Unavailable where rows are no numbers.
    """

    family: str
    task: str

    def __call__(self, train: Split, seed: int) -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        rows = np.arange(len(train))
        if len(rows) > MOST_ROWS:
            rows = np.sort(generator(seed, "rival").permutation(len(rows))[:MOST_ROWS])
        x = as_numbers(train.take(rows))
        assert train.y is not None
        rival = _pipeline(self.family, self.task, seed, *x.shape)
        return make_pipeline(FunctionTransformer(as_numbers), *(step for _, step in rival.steps)).fit(x, train.y[rows])


def as_numbers(batch: Any) -> np.ndarray:
    """A batch flattened to (b, d) 32-bit floats. Raises Unavailable where it is text or holds what is no number."""
    if isinstance(batch, list):
        raise Unavailable("rows are text: rival families need numbers")
    try:
        values = frame_matrix(batch) if is_frame(batch) else np.asarray(batch)
    except BadInput as error:
        raise Unavailable(f"rival families need numbers: {error}") from None
    return values.reshape(len(values), -1).astype(np.float32)


def fit_rival(
    family: str, x: np.ndarray, y: np.ndarray, fresh: np.ndarray, task: str, classes: int, seed: int
) -> tuple[np.ndarray, float]:
    """(outputs on `fresh`: (n, K) log probabilities or (n,) values; seconds to fit). Runs in a process of its own."""
    rival = _pipeline(family, task, seed, *x.shape)
    start = time.perf_counter()
    rival.fit(x, y)
    spent = time.perf_counter() - start
    if task != "classification":
        return np.asarray(rival.predict(fresh), np.float64), spent
    probability = np.full((len(fresh), classes), 1e-12)
    probability[:, rival.classes_] = np.maximum(rival.predict_proba(fresh), 1e-12)
    return np.log(probability).astype(np.float32), spent


def _pipeline(family: str, task: str, seed: int, rows: int, columns: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[Any] = []
    if not family.endswith("gbdt") or columns > WIDE:
        steps = [SimpleImputer(keep_empty_features=True), StandardScaler()]
    if columns > WIDE:
        steps.append(PCA(min(COMPONENTS, rows - 1), svd_solver="randomized", random_state=seed))
    return make_pipeline(*steps, _estimator(family, task, seed, rows))


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
        ("small-gbdt", "classification"): lambda: HistGradientBoostingClassifier(
            max_iter=SMALL_TREES, learning_rate=0.3, max_bins=32, early_stopping=False, random_state=seed
        ),
        ("gbdt", "regression"): lambda: HistGradientBoostingRegressor(early_stopping=False, random_state=seed),
    }
    return known[family, task]()
