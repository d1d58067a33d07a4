"""What other encoders' features are worth on the subject's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int

RUNGS = (1, 5, 20)  # rows a class


@dataclass(frozen=True)
class Transfer(Request):
    """Linear heads on features of the subject's backbones, the best of them trained on, and the recipe beside it."""

    rungs: tuple[int, ...] = RUNGS
    kind: ClassVar[str] = "poor-transfer"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return "other encoders' features"


@dataclass(frozen=True, eq=False)
class TransferData:
    """Answer to `Transfer`.

    backbones: their names. screened: metric (display unit) of a linear head on each one's frozen features, on
    `screen_rows` rows of train that it was not fitted on; NaN where the log evidence kept it off the short list.
    evidence: log evidence per row by which that list was made; empty where all were screened. tuned: the winner's
    metric there once trained on, NaN where it can't be. winner, how: what was chosen there, "frozen" or "fine-tuned".
    Outputs on v rows of validation, logits (K columns) or values (one), float32: made (1, v, K) the winner, made anew
    of `fitted_rows` rows of train; own (0 or 1, v, K) a head on the model's own features; members (m, v, K) the
    recipe's; by rung of rows a class and repeat few_frozen, few_recipe (q, r, v, K) heads on the winner's frozen
    features and the recipe. rows, y, clusters (v,): as in PassData. left_out: what is not there, and why.
    """

    backbones: tuple[str, ...]
    screened: tuple[float, ...]
    evidence: tuple[float, ...]
    tuned: float
    winner: str
    how: str
    screen_rows: int
    fitted_rows: int
    task: str
    rows: Int[np.ndarray, " v"]
    y: np.ndarray
    clusters: Int[np.ndarray, " v"]
    made: Float[np.ndarray, "1 v K"]
    own: Float[np.ndarray, "o v K"]
    members: Float[np.ndarray, "m v K"]
    rungs: tuple[int, ...]
    few_frozen: Float[np.ndarray, "q r v K"]
    few_recipe: Float[np.ndarray, "q r v K"]
    left_out: dict[str, str]

    def passes(self, outputs: Float[np.ndarray, "m v K"]) -> list[PassData]:
        """A pass of each model."""
        known = {"rows": self.rows, "clusters": self.clusters}
        if self.task == "regression":
            return [PassData.of_values(each[:, 0], self.y, **known) for each in outputs]
        return [PassData.of_logits(each, self.y, **known) for each in outputs]
