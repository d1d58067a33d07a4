"""What a model says of several views of a row that should show the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Invariance(Request):
    """Outputs on rows of validation as they are, on changed views of them, and their mean over the views.

    `rows`: at most so many, a seeded sample.
    """

    rows: int = 2000
    kind: ClassVar[str] = "invariance"

    def label(self) -> str:
        return "other views of rows"


@dataclass(frozen=True, eq=False)
class InvarianceData:
    """Answer to `Invariance`, of n rows and t ways of looking at them.

    names (t): of the ways. grounds (t): why the label should stay: "stated" by the user, "safe" for nearly any such
    rows, or "" where nothing says so. rows, clusters (n,): positions in validation, and groups. y (n,): class index.
    given (n, K): logits of the rows as they are. averaged (t, n, K): of the mean probability over a row and its views.
    lost (t, n): share of the changed views that are decided wrong.
    """

    names: tuple[str, ...]
    grounds: tuple[str, ...]
    rows: Int[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    y: Int[np.ndarray, " n"]
    given: Float[np.ndarray, "n k"]
    averaged: Float[np.ndarray, "t n k"]
    lost: Float[np.ndarray, "t n"]

    def __len__(self) -> int:
        return len(self.y)

    def passed(self, way: int | None = None) -> PassData:
        """Outputs on the rows as they are, or averaged over views."""
        logits = self.given if way is None else self.averaged[way]
        return PassData.of_logits(logits, self.y, rows=self.rows, clusters=self.clusters)

    def mixed(self, ways: Int[np.ndarray, " n"]) -> PassData:
        """Outputs averaged in another way for each row; −1: as it is."""
        every = np.concatenate([self.given[None], self.averaged])
        logits = every[ways + 1, np.arange(len(self))]
        return PassData.of_logits(logits, self.y, rows=self.rows, clusters=self.clusters)
