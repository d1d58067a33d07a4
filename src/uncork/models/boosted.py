"""Boosted trees from the files that xgboost and lightgbm write, with scikit-learn's interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput, MissingExtra


class LightGBMFile:
    """A lightgbm model as text: predicts, and is not fitted again. Raises lightgbm's own error for other text."""

    def __init__(self, text: str) -> None:
        import lightgbm

        self.text, self.booster = text, lightgbm.Booster(model_str=text)

    def fit(self, x: Any, y: Any) -> LightGBMFile:
        raise BadInput("a model from a file of lightgbm is not fitted again: give a recipe that makes one")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Columns in the order in which they are read; Column_0 and so on where they had no names."""
        return np.array(self.booster.feature_name())

    def predict(self, x: Any) -> np.ndarray:
        """(n,) values; of more than two classes (n, K) probabilities."""
        return np.asarray(self.booster.predict(x, num_threads=1))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __reduce__(self) -> Any:
        return type(self), (self.text,)


class LightGBMClasses(LightGBMFile):
    """One that tells classes apart; they are called 0 to K − 1, since the file doesn't name them."""

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(max(2, self.booster.params["num_class"]))

    def predict_proba(self, x: Any) -> np.ndarray:
        p = self.predict(x)
        return p if p.ndim == 2 else np.stack([1 - p, p], axis=1)


def lightgbm_model(path: Path) -> LightGBMFile:
    """The model in a .txt file. Raises BadInput where it is none or ranks rows, MissingExtra without `tabular`."""
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("tabular", f"loading {path.name}") from None
    try:
        text = path.read_text()
        objective = str(lightgbm.Booster(model_str=text).params.get("objective", ""))
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no model of lightgbm, or is damaged: save it again with save_model") from error
    _refuse_ranks(path, objective)
    classes = objective.startswith(("binary", "multiclass", "softmax", "cross_entropy"))
    return (LightGBMClasses if classes else LightGBMFile)(text)


def xgboost_model(path: Path) -> Any:
    """The model in an .ubj or .json file. Raises BadInput where it is none or ranks rows, MissingExtra without
    `tabular`."""
    try:
        import xgboost
    except ImportError:
        raise MissingExtra("tabular", f"loading {path.name}") from None
    try:
        config = xgboost.Booster(model_file=str(path)).save_config()
        objective = json.loads(config)["learner"]["objective"]["name"]
    except (xgboost.core.XGBoostError, KeyError) as error:
        raise BadInput(f"{path} is no model of xgboost, or is damaged: save it again with save_model") from error
    _refuse_ranks(path, objective)
    classes = objective.startswith(("binary:", "multi:"))
    estimator = (xgboost.XGBClassifier if classes else xgboost.XGBRegressor)(n_jobs=1)
    estimator.load_model(path)
    return estimator


def _refuse_ranks(path: Path, objective: str) -> None:
    if "rank" in objective:
        raise BadInput(f"{path} ranks rows ({objective}): uncork audits classes and values")
