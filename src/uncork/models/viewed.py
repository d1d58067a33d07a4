"""A model that answers by the mean of what it says of several views of a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from uncork.models.base import Model, Output, from_probabilities
from uncork.models.views import views
from uncork.models.wrapped import Wrapped


class Viewed(Wrapped):
    """`inner` with the logarithm of its mean probability over a row and its views `name` (see `uncork.models.views`).

    `features` and which rows are answered are `inner`'s of the row itself. Raises BadInput where there are no such
    views, or rows have none.
    """

    called = "the mean over views"

    def __init__(self, inner: Model, name: str) -> None:
        super().__init__(inner)
        views(name)  # refuses a name that it doesn't know
        self.name = name
        self.told = {"views": name}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        """Of the row alone: as they are."""
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        own = self.inner.outputs(batch, features)
        said = [own.logits, *(self.inner.outputs(view(batch)).logits for view in views(self.name))]
        return dataclasses.replace(own, logits=mean_of(said))


def mean_of(said: Sequence[np.ndarray]) -> np.ndarray:
    """(b, K) logits of the mean probability, from those of each view."""
    return from_probabilities(np.mean([softmax(each.astype(np.float64), axis=1) for each in said], axis=0))
