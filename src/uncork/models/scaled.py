"""A model whose classes' log-probabilities each have a factor and a number of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from uncork.models.base import Model
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput


class Scaled(Wrapped):
    """`inner` with log-probability · factor + added as logits, (K,) each: other decisions.

    Raises BadInput unless there is a factor above 0 and a finite number for each class.
    """

    called = "vector scaling"

    def __init__(self, inner: Model, factor: Sequence[float] | np.ndarray, added: Sequence[float] | np.ndarray) -> None:
        super().__init__(inner)
        self.factor, self.added = np.asarray(factor, np.float64), np.asarray(added, np.float64)
        for name, each in (("factor", self.factor), ("added", self.added)):
            if each.shape != (inner.n_outputs,) or not np.isfinite(each).all():
                raise BadInput(f"{name} is {each}: give one finite number for each of {inner.n_outputs} classes")
        if not (self.factor > 0).all():
            raise BadInput(f"factor is {self.factor}: give numbers above 0")
        self.told = {"factor": self.factor.tolist(), "added": self.added.tolist()}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        log_p = log_softmax(logits.astype(np.float64), axis=1)
        return np.asarray(log_p * self.factor + self.added, np.float32)
