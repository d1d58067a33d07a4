"""A model whose logits are divided by a temperature."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from uncork.models.base import Model, Output
from uncork.schema.errors import BadInput


class Tempered:
    """`inner` with logits / T: the same decisions, other confidence. Raises BadInput unless T > 0."""

    task = "classification"

    def __init__(self, inner: Model, temperature: float) -> None:
        if not (np.isfinite(temperature) and temperature > 0):
            raise BadInput(f"the temperature is {temperature}: give a number above 0")
        if inner.task != "classification":
            raise BadInput("a temperature belongs to classification: this model does regression")
        self.inner, self.temperature = inner, float(temperature)
        self.has_inputs, self.accepts_nan, self.classes = inner.has_inputs, inner.accepts_nan, inner.classes

    @property
    def n_outputs(self) -> int:
        return self.inner.n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """As `inner`'s, but for the temperature; the features are unchanged."""
        out = self.inner.outputs(batch, features)
        return dataclasses.replace(out, logits=(out.logits / np.float32(self.temperature)).astype(np.float32))

    def fingerprint(self) -> str:
        return f"{self.inner.fingerprint()}-T{self.temperature!r}"

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), "temperature": self.temperature}
