"""A model to whose logits one number per class is added."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from uncork.models.base import Model, Output
from uncork.schema.errors import BadInput


class Offset:
    """`inner` with logits + `offset`, (K,): other decisions. Raises BadInput unless there is a number for each."""

    task = "classification"

    def __init__(self, inner: Model, offset: Sequence[float] | np.ndarray) -> None:
        self.inner, self.offset = inner, np.asarray(offset, np.float32)
        if inner.task != "classification":
            raise BadInput("an offset of logits belongs to classification: this model does regression")
        if self.offset.shape != (inner.n_outputs,) or not np.isfinite(self.offset).all():
            raise BadInput(f"the offset is {offset}: give one finite number for each of {inner.n_outputs} classes")
        self.has_inputs, self.accepts_nan, self.classes = inner.has_inputs, inner.accepts_nan, inner.classes

    @property
    def n_outputs(self) -> int:
        return self.inner.n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """As `inner`'s, but for the offset; the features are unchanged."""
        out = self.inner.outputs(batch, features)
        return dataclasses.replace(out, logits=out.logits + self.offset)

    def fingerprint(self) -> str:
        return f"{self.inner.fingerprint()}-plus{self.offset.tolist()}"

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), "offset": self.offset.tolist()}
