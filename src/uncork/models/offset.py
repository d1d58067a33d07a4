"""A model to whose logits one number per class is added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.models.base import Model
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput


class Offset(Wrapped):
    """`inner` with logits + `offset`, (K,): other decisions. Raises BadInput unless there is a number for each."""

    called = "an offset"

    def __init__(self, inner: Model, offset: Sequence[float] | np.ndarray) -> None:
        super().__init__(inner)
        self.offset = np.asarray(offset, np.float32)
        if self.offset.shape != (inner.n_outputs,) or not np.isfinite(self.offset).all():
            raise BadInput(f"the offset is {offset}: give one finite number for each of {inner.n_outputs} classes")
        self.told = {"offset": self.offset.tolist()}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits + self.offset)
