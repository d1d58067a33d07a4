"""What a net without some of its channels can still do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: What the pruned net is judged beside, in the order of `RedundancyData.outputs`.
ARMS = ("dense", "pruned", "random", "from scratch")


@dataclass(frozen=True)
class Redundancy(Request):
    """Shares of the channels of each layer that are pruned, ascending, by each importance; 0: redundant ones go."""

    ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    importances: tuple[str, ...] = ("magnitude", "taylor")
    kind: ClassVar[str] = "redundancy"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return f"pruning of {', '.join(f'{ratio:.0%}' for ratio in self.ratios)} of the channels"


@dataclass(frozen=True, eq=False)
class RedundancyData:
    """Answer to `Redundancy`.

    ratios (m,), importances (k,), rehearsed (k, m): what each loses in the rehearsal inside train, judged by
    `rehearsal_rows`, in the metric's display unit; infinite where it can't be made. within: whether the chosen one
    lost no more than δ there; else it is the smallest that takes anything out. ratio, importance: chosen.
    redundant: channels merged into others, of `channels` in the layers that can be pruned; merged_gap: by how much the
    largest logit moves where that is all.
    outputs (len(ARMS), s, v, K): on validation, by seed; checkpoint (1, v, K): of the net as it was given. rows, y,
    clusters (v,): as in PassData.
    parameters (2,): of the dense and the pruned net. seconds (b, rounds, 2): one forward pass of each side by side, in
    batches of `batch_sizes` (b,). steps: of training on.
    """

    ratios: Float[np.ndarray, " m"]
    importances: tuple[str, ...]
    rehearsed: Float[np.ndarray, "k m"]
    rehearsal_rows: int
    within: bool
    ratio: float
    importance: str
    redundant: int
    channels: int
    merged_gap: float
    outputs: Float[np.ndarray, "arms s v K"]
    checkpoint: Float[np.ndarray, "1 v K"]
    task: str
    rows: Int[np.ndarray, " v"]
    y: np.ndarray
    clusters: Int[np.ndarray, " v"]
    parameters: Int[np.ndarray, " 2"]
    seconds: Float[np.ndarray, "b rounds 2"]
    batch_sizes: tuple[int, ...]
    steps: int

    def passes(self, outputs: Float[np.ndarray, "m v K"]) -> list[PassData]:
        """A pass of each model."""
        known = {"rows": self.rows, "clusters": self.clusters}
        if self.task == "regression":
            return [PassData.of_values(each[:, 0], self.y, **known) for each in outputs]
        return [PassData.of_logits(each, self.y, **known) for each in outputs]

    def arm(self, name: str) -> list[PassData]:
        """A pass of each seed's model of one of `ARMS`."""
        return self.passes(self.outputs[ARMS.index(name)])
