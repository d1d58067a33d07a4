"""Rival families: how each is fitted on rows of a table, by a few settings that are the same for all data."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from uncork.data.encode import TableEncoder
from uncork.data.split import Split
from uncork.models.base import is_frame
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

WIDE, COMPONENTS = 256, 64
TREES, SMALL_TREES = 100, 30  # for each class; the latter of "small-gbdt"
MOST_ROWS = 20_000  # that a rival is fitted on

#: Rates and leaves of boosted trees. A larger rate stands for more trees, which would cost more.
_BOOSTING: tuple[dict[str, float], ...] = (
    {"rate": 0.1, "leaves": 31},
    {"rate": 0.3, "leaves": 31},
    {"rate": 0.1, "leaves": 8},
    {"rate": 0.3, "leaves": 8},
)
#: What is tried of each family, in this order: as many settings of each.
SETTINGS: dict[str, tuple[dict[str, float], ...]] = {
    "linear": ({"penalty": 1.0}, {"penalty": 10.0}, {"penalty": 0.1}, {"penalty": 100.0}),
    "knn": ({"neighbours": 10}, {"neighbours": 30}, {"neighbours": 3}, {"neighbours": 100}),
    "gbdt": _BOOSTING,
    "xgboost": _BOOSTING,
    "lightgbm": _BOOSTING,
    "small-gbdt": ({"rate": 0.3, "leaves": 31},),
}
BOOSTED = ("gbdt", "xgboost", "lightgbm", "small-gbdt")
#: The package that a family needs, of the extra `tabular`.
PACKAGES = {"xgboost": "xgboost", "lightgbm": "lightgbm"}


class Fitted(NamedTuple):
    """outputs: on fresh rows, (n, K) log probabilities or (n,) values. seconds: to fit. numbers: fitted ones of a
    linear model, 0 of other families."""

    outputs: np.ndarray
    seconds: float
    numbers: int


@dataclass(frozen=True)
class RivalRecipe:
    """A recipe that fits one family, by one of its `SETTINGS`, on a seeded sample of train.

    Arrays are read as one matrix of 32-bit floats; tables by a `TableEncoder` that is fitted on these rows: trees get
    codes of categories, other families a column for each. The fitted pipeline takes batches as a split gives them.
    Raises Unavailable where rows are no numbers.
    """

    family: str
    task: str
    setting: int = 0

    def __call__(self, train: Split, seed: int) -> Any:
        rows = np.arange(len(train))
        if len(rows) > MOST_ROWS:
            rows = np.sort(generator(seed, "rival").permutation(len(rows))[:MOST_ROWS])
        assert train.y is not None
        return _fit(self.family, self.setting, train.take(rows), train.y[rows], self.task, seed)


def installed(family: str) -> bool:
    """Whether the package that a family needs is there."""
    return family not in PACKAGES or find_spec(PACKAGES[family]) is not None


def in_words(family: str, setting: int) -> str:
    """A family's setting, such as "rate 0.1, leaves 31"."""
    return ", ".join(f"{name} {value:g}" for name, value in SETTINGS[family][setting].items())


def as_numbers(batch: Any) -> np.ndarray:
    """An array flattened to (b, d) 32-bit floats. Raises Unavailable where it is text or holds what is no number."""
    if isinstance(batch, list):
        raise Unavailable("rows are text: rival families need numbers")
    if not isinstance(batch, np.ndarray) or batch.dtype.kind not in "iufb":
        held = batch.dtype if isinstance(batch, np.ndarray) else type(batch).__name__
        raise Unavailable(f"rival families need numbers: x holds {held}")
    return batch.reshape(len(batch), -1).astype(np.float32)


def fit_rival(
    family: str, x: Any, y: np.ndarray, fresh: Any, task: str, classes: int, seed: int, setting: int = 0
) -> tuple[np.ndarray, float]:
    """(outputs on `fresh`: (n, K) log probabilities or (n,) values; seconds to fit)."""
    return fitted_rival(family, x, y, fresh, task, classes, seed, setting)[:2]


def fitted_rival(
    family: str, x: Any, y: np.ndarray, fresh: Any, task: str, classes: int, seed: int, setting: int = 0
) -> Fitted:
    """One family fitted on the rows `x`, an array or a table, and its outputs. Runs in a process of its own."""
    if family in PACKAGES:
        import_module(PACKAGES[family])  # takes a second or two, which is no part of the fit
    start = time.perf_counter()
    rival = _fit(family, setting, x, y, task, seed)
    spent = time.perf_counter() - start
    last = rival.steps[-1][1]
    numbers = int(np.size(last.coef_) + np.size(last.intercept_)) if family == "linear" else 0
    if task != "classification":
        return Fitted(np.asarray(rival.predict(fresh), np.float64), spent, numbers)
    probability = np.full((len(fresh), classes), 1e-12)
    probability[:, rival.classes_] = np.maximum(rival.predict_proba(fresh), 1e-12)
    return Fitted(np.log(probability).astype(np.float32), spent, numbers)


def _fit(family: str, setting: int, x: Any, y: np.ndarray, task: str, seed: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    reader, categorical = _reader(family, x)
    read = reader(x)
    steps = _steps(family, is_frame(x), seed, *read.shape)
    if len(steps) or not categorical.any():
        categorical = np.zeros(0, bool)
    rival = make_pipeline(*steps, _estimator(family, setting, task, seed, len(read), categorical))
    given = {}
    if family == "lightgbm" and categorical.any():
        given = {f"{rival.steps[-1][0]}__categorical_feature": np.flatnonzero(categorical).tolist()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # near enough for a rival
        rival.fit(read, y, **given)
    return make_pipeline(FunctionTransformer(reader), *(step for _, step in rival.steps))


def _reader(family: str, x: Any) -> tuple[Any, np.ndarray]:
    """(what makes a matrix of a batch, which of its columns hold codes of categories)."""
    if not is_frame(x):
        return as_numbers, np.zeros(0, bool)
    trees = family in BOOSTED and len(x.columns) <= WIDE
    try:
        encoder = TableEncoder.fit(Split(x), kind="ordinal" if trees else "one-hot")
    except BadInput as error:
        raise Unavailable(f"rival families need numbers or categories: {error}") from None
    return encoder, encoder.categorical


def _steps(family: str, encoded: bool, seed: int, rows: int, columns: int) -> list[Any]:
    """Between the matrix and the family. What a TableEncoder made for others than trees is on one scale already."""
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    steps: list[Any] = []
    if not encoded and (family not in BOOSTED or columns > WIDE):
        steps = [SimpleImputer(keep_empty_features=True), StandardScaler()]
    if columns > WIDE:
        steps.append(PCA(min(COMPONENTS, rows - 1), svd_solver="randomized", random_state=seed))
    return steps


def _estimator(family: str, setting: int, task: str, seed: int, rows: int, categorical: np.ndarray) -> Any:
    chosen = SETTINGS[family][setting]
    if family == "xgboost":
        return _xgboost(chosen, task, seed, categorical)
    if family == "lightgbm":
        import lightgbm

        made = lightgbm.LGBMClassifier if task == "classification" else lightgbm.LGBMRegressor
        return made(
            n_estimators=TREES,
            learning_rate=chosen["rate"],
            num_leaves=int(chosen["leaves"]),
            n_jobs=1,
            random_state=seed,
            deterministic=True,
            force_col_wise=True,
            verbose=-1,
        )
    if family in BOOSTED:
        return _histogram(family, chosen, task, seed, categorical)
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    if family == "linear":
        penalty = chosen["penalty"]
        return LogisticRegression(C=1 / penalty, max_iter=200) if task == "classification" else Ridge(penalty)
    neighbours = KNeighborsClassifier if task == "classification" else KNeighborsRegressor
    return neighbours(min(int(chosen["neighbours"]), rows), weights="distance")


def _histogram(family: str, chosen: dict[str, float], task: str, seed: int, categorical: np.ndarray) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    # As xgboost has it. Without, trees of many classes, some of them rare, run away: on Covertype 351 errors per 1,000
    # instead of 225.
    full = {"max_iter": TREES, "l2_regularization": 1.0}
    small = {"max_iter": SMALL_TREES, "max_bins": 32} if family == "small-gbdt" else full
    return made(
        **small,
        learning_rate=chosen["rate"],
        max_leaf_nodes=int(chosen["leaves"]),
        categorical_features=categorical if categorical.any() else None,
        early_stopping=False,
        random_state=seed,
    )


def _xgboost(chosen: dict[str, float], task: str, seed: int, categorical: np.ndarray) -> Any:
    import xgboost

    from uncork.train.coded import Coded

    made = xgboost.XGBClassifier if task == "classification" else xgboost.XGBRegressor
    estimator = made(
        n_estimators=TREES,
        learning_rate=chosen["rate"],
        max_leaves=int(chosen["leaves"]),
        max_depth=0,
        grow_policy="lossguide",
        tree_method="hist",
        enable_categorical=bool(categorical.any()),
        feature_types=["c" if coded else "q" for coded in categorical] if categorical.any() else None,
        n_jobs=1,
        random_state=seed,
        verbosity=0,
    )
    return Coded(estimator) if task == "classification" else estimator
