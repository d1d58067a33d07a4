"""The same rows in other formats: what a model accepts, and what it then answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Formats(Request):
    """The model's answers to rows of validation that are scaled, reordered, retyped or incomplete, or in other company.

    Each format is tried on `screen` random rows, and one that does better there on `rows`.
    """

    screen: int = 128
    rows: int = 1000
    kind: ClassVar[str] = "formats"

    def label(self) -> str:
        return "rows of validation in other formats"


@dataclass(frozen=True, eq=False)
class FormatsData:
    """Answer to `Formats`, of n rows in a random order and f formats.

    names (f): the formats. refused (f): why the model raised an error, "" where it took the rows. ran (f,): how many
    of the rows, the first, were tried. rows (n,): positions in validation. y (n,): class index or target. clusters
    (n,): group of each row. predicted, answered (n,): decision or value of the rows as they are, and whether it was
    given rather than handed over. predicted_as, answered_as (f, n): the same in each format; −1 or NaN where not tried,
    and where the output was not finite: finite (f, n).
    alone (a,), shuffled (s,): how far the answers to the first rows move when they are run one at a time, or in another
    order and in smaller batches: the largest change of a class's probability, or of a value in standard deviations.
    again (r,): when the same batch is run twice.
    """

    task: str
    names: tuple[str, ...]
    refused: tuple[str, ...]
    ran: Int[np.ndarray, " f"]
    rows: Int[np.ndarray, " n"]
    y: np.ndarray
    clusters: Int[np.ndarray, " n"]
    predicted: np.ndarray
    answered: Bool[np.ndarray, " n"]
    predicted_as: np.ndarray
    answered_as: Bool[np.ndarray, "f n"]
    finite: Bool[np.ndarray, "f n"]
    alone: Float[np.ndarray, " a"]
    shuffled: Float[np.ndarray, " s"]
    again: Float[np.ndarray, " r"]

    def __len__(self) -> int:
        return len(self.y)

    def given(self, n: int) -> PassData:
        """Decisions on the first n rows as they are; there are no logits."""
        return self._passed(self.predicted[:n], self.answered[:n])

    def fed(self, f: int) -> PassData:
        """Decisions on the rows tried in one format."""
        n = int(self.ran[f])
        return self._passed(self.predicted_as[f, :n], self.answered_as[f, :n])

    def _passed(self, predicted: np.ndarray, answered: np.ndarray) -> PassData:
        n = len(predicted)
        known = {"rows": self.rows[:n], "clusters": self.clusters[:n], "answered": answered}
        if self.task != "classification":
            return PassData.of_values(predicted, self.y[:n], **known)
        none = np.zeros(n, np.float32)
        return PassData(
            "classification",
            logits=np.zeros((n, 0), np.float16),
            predicted=predicted,
            y=self.y[:n],
            loss=none,
            margin=none,
            features=np.zeros((n, 0), np.float16),
            **known,
        )
