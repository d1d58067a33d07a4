"""What is gathered to tell whether mistakes can be patched: mistakes that were, and what became of other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


@dataclass(frozen=True)
class Patches(Request):
    """Mistakes of one half of validation, corrected; near copies of them, and the other half, decided again.

    `most`: as many mistakes at the most.
    """

    most: int = 100
    kind: ClassVar[str] = "patches"

    def label(self) -> str:
        return "mistakes patched and tried again"


@dataclass(frozen=True, eq=False)
class PatchesData:
    """Answer to `Patches`. m corrections, in a random order, c near copies of each; n rows of the other half.

    counts (s,): how many of the corrections, the first of them, were made at once; the last is m.
    mends (s, m): whether each correction's own row is then decided right. counted (m, c): near copies that differ from
    their row. near_before (m, c): near copies that the model decides right unpatched; near (s, m, c): patched.
    y, before (n,): class and decision of the other half's rows unpatched; after (s, n): patched. clusters (n,).
    looked_at (a,): groups of the rows among which these m mistakes are all there are, the mistakes' own first.
    inseparable: mistakes that no correction can tell from a row that is right, or from another correction; they stand
    among the m, and are not mended. space: "features" or "logits", where corrections lie.
    """

    counts: Int[np.ndarray, " s"]
    mends: Bool[np.ndarray, "s m"]
    counted: Bool[np.ndarray, "m c"]
    near_before: Bool[np.ndarray, "m c"]
    near: Bool[np.ndarray, "s m c"]
    y: Int[np.ndarray, " n"]
    before: Int[np.ndarray, " n"]
    after: Int[np.ndarray, "s n"]
    clusters: Int[np.ndarray, " n"]
    looked_at: Int[np.ndarray, " a"]
    inseparable: int
    space: str
