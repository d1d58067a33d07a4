"""What the model and its recipe are without each of their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class IdleParts(Request):
    """Each block passed over, in the model as it is; and each block and trick left out of the recipe.

    `seeds`: trainings without each, and of the recipe as it is.
    """

    seeds: int = 3
    kind: ClassVar[str] = "idle-parts"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return "blocks and tricks left out"


@dataclass(frozen=True, eq=False)
class IdlePartsData:
    """Answer to `IdleParts`.

    blocks (p,): names of submodules that give the shape they are given. outputs (1 + p, v, k): logits, or values
    (…, 1), on rows of validation: of the model, then of it with each block passed over. parameters (1 + p,): of the
    model, then those of each block. seconds (r, 1 + p): wall time of one batch, in the order of `outputs`.
    arms (q,): what the recipe was trained without; retrained (1 + q, s, v, k): outputs of the recipe as it is, then
    without each, from the same seeds s. left_out: blocks and arms that could not be tried, and why; "arms" for all.
    y, clusters (v,): labels, and which rows are kept together.
    """

    task: str
    blocks: tuple[str, ...]
    outputs: Float[np.ndarray, "m v k"]
    parameters: Int[np.ndarray, " m"]
    seconds: Float[np.ndarray, "r m"]
    arms: tuple[str, ...]
    retrained: Float[np.ndarray, "a s v k"]
    left_out: dict[str, str]
    y: np.ndarray
    clusters: Int[np.ndarray, " v"]

    def without(self, block: int) -> PassData:
        """The model with the block passed over; of -1 the model as it is."""
        return self._pass(self.outputs[1 + block])

    def trained_without(self, arm: int) -> list[PassData]:
        """The models of each seed without the arm; of -1 by the recipe as it is."""
        return [self._pass(each) for each in self.retrained[1 + arm]]

    def _pass(self, outputs: np.ndarray) -> PassData:
        if self.task == "classification":
            return PassData.of_logits(outputs, self.y, clusters=self.clusters)
        return PassData.of_values(outputs[:, 0], self.y, clusters=self.clusters)
