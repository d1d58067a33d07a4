"""How strange rows look to a model: its own, and rows that it was not made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Kinds of rows. Known are the model's own; the others are strangers, from what decides most to what decides least.
KINDS = ("known", "given", "left-out", "uniform", "shuffled")
NOISE = ("uniform", "shuffled")


@dataclass(frozen=True)
class Strangers(Request):
    """Scores of strangeness of validation and of strangers: the user's, classes left out in training, and noise.

    `left_out`: how many classes, at most, the recipe is trained without, one at a time. `trains`: the recipe is to be
    timed for it.
    """

    left_out: int = 5
    kind: ClassVar[str] = "strangers"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return "strangers"


@dataclass(frozen=True, eq=False)
class StrangersData:
    """Answer to `Strangers`: n rows, each as one model saw it, by s scores.

    scores: their names; strangeness (n, s) float32, larger is stranger. "probability" is −ln of the largest
    probability; "energy", "mahalanobis" and "knn" are there where the model has logits and features.
    kind (n,): position in KINDS. model (n,): 0 for the model itself, i for the one trained without class
    left_out[i - 1], to which the rows of that class alone are strangers. answered (n,): False where it hands the row
    over. chooses (n,): a fixed half of the rows; of the known ones it sets thresholds, of strangers a score may be
    chosen by it, and the other half measures. clusters (n,): group of each row.
    missing: kinds that are not there, with the reason.
    """

    scores: tuple[str, ...]
    strangeness: Float[np.ndarray, "n s"]
    kind: Int[np.ndarray, " n"]
    model: Int[np.ndarray, " n"]
    answered: Bool[np.ndarray, " n"]
    chooses: Bool[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    left_out: tuple[str, ...]
    missing: dict[str, str]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def hands_over(self) -> bool:
        """Whether the model leaves any row unanswered."""
        return not bool(self.answered.all())

    def of(self, *kinds: str) -> Bool[np.ndarray, " n"]:
        """Mask of the rows of these kinds."""
        mask: Bool[np.ndarray, " n"] = np.isin(self.kind, [KINDS.index(kind) for kind in kinds])
        return mask

    def by(self, score: str) -> Float[np.ndarray, " n"]:
        """Every row's strangeness by one score."""
        column: Float[np.ndarray, " n"] = self.strangeness[:, self.scores.index(score)].astype(np.float64)
        return column

    @property
    def deciding(self) -> tuple[str, ...]:
        """The kinds of strangers that a verdict rests on: the user's own, else classes left out, else noise."""
        there = [kind for kind in KINDS[1:] if self.of(kind).any()]
        return tuple(there[:1]) if there and there[0] not in NOISE else tuple(there)
