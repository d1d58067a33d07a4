"""A model around another one that changes its logits and nothing else."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import Model, Output
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float


class Wrapped(ABC):
    """`inner` with other logits; the features are unchanged. Raises BadInput where `inner` does regression.

    `called`: what it adds, in a sentence. `told`: what is said of it in `describe`, {name: JSON}; part of the
    fingerprint.
    """

    task = "classification"
    called: str
    told: dict[str, Any]

    def __init__(self, inner: Model) -> None:
        if inner.task != "classification":
            raise BadInput(f"{type(self).__name__} changes logits of classes: this model does regression")
        self.inner = inner
        self.has_inputs, self.accepts_nan, self.classes = inner.has_inputs, inner.accepts_nan, inner.classes

    @abstractmethod
    def moved(self, logits: Float[np.ndarray, "b k"]) -> Float[np.ndarray, "b K"]:
        """The logits of this model from `inner`'s, float32."""

    @property
    def n_outputs(self) -> int:
        return self.inner.n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        out = self.inner.outputs(batch, features)
        return dataclasses.replace(out, logits=self.moved(out.logits))

    def fingerprint(self) -> str:
        return f"{self.inner.fingerprint()}-{self.told}"

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), **self.told}
