"""A model whose logits are divided by a temperature."""

from __future__ import annotations

import numpy as np

from uncork.models.base import Model
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput


class Tempered(Wrapped):
    """`inner` with logits / T: the same decisions, other confidence. Raises BadInput unless T > 0."""

    called = "a temperature"

    def __init__(self, inner: Model, temperature: float) -> None:
        super().__init__(inner)
        if not (np.isfinite(temperature) and temperature > 0):
            raise BadInput(f"the temperature is {temperature}: give a number above 0")
        self.temperature = float(temperature)
        self.told = {"temperature": self.temperature}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return (logits / np.float32(self.temperature)).astype(np.float32)
