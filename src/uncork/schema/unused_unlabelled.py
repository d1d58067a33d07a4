"""What models gain from rows without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int

METHODS = ("pseudo-label", "self-supervise")  # ids of remedies


@dataclass(frozen=True)
class Unlabelled(Request):
    """Models trained on labelled rows alone, and with the unlabelled ones by each of `methods`."""

    methods: tuple[str, ...] = METHODS
    kind: ClassVar[str] = "unused-unlabelled"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return "what unlabelled rows teach"


@dataclass(frozen=True, eq=False)
class UnlabelledData:
    """Answer to `Unlabelled`.

    methods: those that could be tried. screened: metric (display unit) of each one's models, and last of the recipe's,
    on `screen_rows` rows of train that none saw, mean over seeds. winner: the best of the methods there. Outputs on v
    rows of validation, logits (K columns) or values (one), of r fresh seeds, float32: curve (k, r, v, K) the recipe on
    sizes (k,) rows of train, ascending, the last all of it; with_half, with_all (r, v, K) the winner on sizes[-2] and
    on all of them. y, clusters (v,): as in PassData. unlabelled: how many rows. left_out: methods that are not there,
    and why.
    """

    methods: tuple[str, ...]
    screened: tuple[float, ...]
    screen_rows: int
    winner: str
    task: str
    sizes: Int[np.ndarray, " k"]
    curve: Float[np.ndarray, "k r v K"]
    with_half: Float[np.ndarray, "r v K"]
    with_all: Float[np.ndarray, "r v K"]
    y: np.ndarray
    clusters: Int[np.ndarray, " v"]
    unlabelled: int
    left_out: dict[str, str]

    def passes(self, outputs: Float[np.ndarray, "r v K"]) -> list[PassData]:
        """A pass of each seed."""
        if self.task == "regression":
            return [PassData.of_values(each[:, 0], self.y, clusters=self.clusters) for each in outputs]
        return [PassData.of_logits(each, self.y, clusters=self.clusters) for each in outputs]
