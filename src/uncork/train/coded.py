"""A classifier that wants its labels to be 0 to k − 1, for any labels. Imports scikit-learn: import it where needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Coded(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`estimator` fitted on the positions of labels among those there are; its probabilities are theirs."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, x: np.ndarray, y: np.ndarray) -> Coded:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator.fit(x, codes)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        p: np.ndarray = self.estimator.predict_proba(x)
        return p

    def predict(self, x: np.ndarray) -> np.ndarray:
        labels: np.ndarray = self.classes_[self.predict_proba(x).argmax(axis=1)]
        return labels
