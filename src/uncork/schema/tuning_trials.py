"""What the recipe scores by settings drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class TuningTrials(Request):
    """The recipe by so many random settings, and the best of them beside the recipe as it is from fresh `seeds`."""

    trials: int = 24
    seeds: int = 3
    kind: ClassVar[str] = "tuning-trials"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return f"{self.trials} random settings"


@dataclass(frozen=True, eq=False)
class TuningTrialsData:
    """Answer to `TuningTrials`.

    names (h,): hyperparameters. settings (k, h): of each trial. scores (k,): the metric (display unit) on `held_rows`
    rows of train held out, of one training each; the worst there is where it diverged. own: the recipe's as it is.
    importance (h,): PED-ANOVA's, of reaching the best quarter; importance_null (b, h): after scores were shuffled;
    no rows where it is not known, for the reason `unimportant`.
    best: position of the best trial. outputs (2, s, v, k): logits, or values (…, 1), on validation, of models of all of
    train by the recipe as it is and by the best trial, from the same fresh seeds; without seeds where some diverged.
    y, clusters (v,): labels, and which rows are kept together.
    """

    task: str
    names: tuple[str, ...]
    settings: Float[np.ndarray, "k h"]
    scores: Float[np.ndarray, " k"]
    own: float
    held_rows: int
    importance: Float[np.ndarray, " h"]
    importance_null: Float[np.ndarray, "b h"]
    best: int
    outputs: Float[np.ndarray, "2 s v c"]
    y: np.ndarray
    clusters: Int[np.ndarray, " v"]
    unimportant: str = ""

    def passes(self, side: int) -> list[PassData]:
        """On validation, one a seed: 0 by the recipe as it is, 1 by the best trial."""
        if self.task == "classification":
            return [PassData.of_logits(each, self.y, clusters=self.clusters) for each in self.outputs[side]]
        return [PassData.of_values(each[:, 0], self.y, clusters=self.clusters) for each in self.outputs[side]]
