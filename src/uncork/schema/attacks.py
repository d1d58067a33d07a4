"""What attacks within a declared threat do to the model's decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Attacked(Request):
    """The worst case of a seeded sample of validation rows under the declared threat. `rows`: at most so many.

    `queries`: of each row by the black-box attack, at most.
    """

    rows: int = 200
    queries: int = 5_000
    kind: ClassVar[str] = "attacked"

    def label(self) -> str:
        return "attacks"


@dataclass(frozen=True, eq=False)
class AttackedData:
    """Answer to `Attacked`: n rows of validation and what was found against them.

    norm, eps: the threat. access: "white-box" (with the model's gradients), "inner" (with those of the model inside a
    wrapper), "black-box" (outputs alone), "exact" (closed form) or "certified" (a guarantee: what has none counts as
    fooled). rows (n,): positions. y (n,): class indices.
    clusters (n,): as in `PassData`. clean (n,): decided rightly as it is. by (n,) int8: index of the attack that fooled
    the row, −1 where none did or the row was wrong as it is. distance (n,) float32: the smallest change that was found
    to fool the model, 0 where it was wrong, inf where none was found; exact where access is.
    attacks, tried, seconds: names in the order they were run, rows each was run on, wall time. checks: of masking,
    {name: (rows that show it, rows looked at)}. notes: what else the reader has to know.
    """

    norm: str
    eps: float
    access: str
    rows: Int[np.ndarray, " n"]
    y: Int[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    clean: Bool[np.ndarray, " n"]
    by: Int[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    attacks: tuple[str, ...]
    tried: tuple[int, ...]
    seconds: tuple[float, ...]
    checks: dict[str, list[int]]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)
