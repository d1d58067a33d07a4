"""What an output depends on: the request, and what is gathered for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Attribution methods by the names of the artifact's `methods`, in words.
METHODS = {
    "integrated_gradients": "integrated gradients",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
}


@dataclass(frozen=True)
class Attribution(Request):
    """What the decisions on a seeded sample of validation depend on, by several methods, and how far that is so.

    `rows`: at most so many.
    """

    rows: int = 48
    kind: ClassVar[str] = "attribution"

    def label(self) -> str:
        return "what decisions depend on"


@dataclass(frozen=True, eq=False)
class AttributionData:
    """Answer to `Attribution`: m methods, n rows that the model answered, u parts of a row, s shares of them.

    methods: names, keys of `METHODS`. left_out: methods that can't be used here, with the reason. baseline: what parts
    are replaced by, in words. grid: columns (u,), or patches of a picture (height, width). rows, clusters (n,):
    positions in validation, and which belong together. decided (n,): class decided. right (n,): whether it is the
    label. maps (m, n, u) float16: what each part adds to the decided class's logit, each row's largest of size 1.
    shares (s,): shares of the parts that are replaced. kept (n,): probability of the decided class with nothing
    replaced; by_method (m, n, s), by_chance (r, n, s), by_edges (n, s): with so many of the top-ranked parts replaced,
    by each method, by r random ranks, and by edge strength (no rows unless rows are pictures).
    gap, change (n,): logit of the decided class at the row less at the baseline, and by how much the parts of
    integrated gradients add up to something else; no rows where there are none.
    similarity (m, d, k): rank correlation of the maps of k rows with those after the last layer was initialised anew,
    d times; no rows where there is no layer to do it to.
    """

    methods: tuple[str, ...]
    left_out: dict[str, str]
    baseline: str
    grid: tuple[int, ...]
    rows: Int[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    decided: Int[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]
    maps: Float[np.ndarray, "m n u"]
    shares: Float[np.ndarray, " s"]
    kept: Float[np.ndarray, " n"]
    by_method: Float[np.ndarray, "m n s"]
    by_chance: Float[np.ndarray, "r n s"]
    by_edges: Float[np.ndarray, "n s"]
    gap: Float[np.ndarray, " n"]
    change: Float[np.ndarray, " n"]
    similarity: Float[np.ndarray, "m d k"]

    def __len__(self) -> int:
        return len(self.rows)
