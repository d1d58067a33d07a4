"""What models gain from labels that are chosen, simulated on rows that have theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class LabelCost(Request):
    """Models of rows of train that were labelled at random and by strategy. `further`: of twice as many random ones
    too, so that labels can be counted and not only compared."""

    further: bool = True
    kind: ClassVar[str] = "label-cost"
    trains: ClassVar[bool] = True

    def covers(self, other: Request) -> bool:
        return isinstance(other, LabelCost) and self.further >= other.further

    def label(self) -> str:
        return "strategies of labelling, on train"


@dataclass(frozen=True, eq=False)
class LabelCostData:
    """Answer to `LabelCost`: logits on v rows of validation, of r repeats.

    sizes (k,): rows labelled, ascending: at first, after buying, and after buying further. curve (k, r, v, K) float32:
    all at random, each size holding the rows of the one before. chosen (s, r, v, K) float32: of sizes[1] rows, those at
    first and those that each of `strategies` bought. y (v,): class indices. clusters (v,): groups of rows.
    available: rows of train. by: what was trained.
    """

    strategies: tuple[str, ...]
    sizes: Int[np.ndarray, " k"]
    curve: Float[np.ndarray, "k r v K"]
    chosen: Float[np.ndarray, "s r v K"]
    y: Int[np.ndarray, " v"]
    clusters: Int[np.ndarray, " v"]
    available: int
    by: str

    def passes(self, logits: Float[np.ndarray, "r v K"]) -> list[PassData]:
        """A pass of each repeat."""
        return [PassData.of_logits(each, self.y, clusters=self.clusters) for each in logits]
