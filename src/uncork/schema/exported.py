"""What an exported net says beside the model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Exported(Request):
    """The model as an ONNX file, in 32 bits and in eight, beside the model itself on every row of a split."""

    split: str = "validation"
    kind: ClassVar[str] = "exported"

    def label(self) -> str:
        return f"the exported net beside the model on {self.split}"


@dataclass(frozen=True, eq=False)
class ExportedData:
    """Answer to `Exported`.

    decided (n, 2): class of each row by the model and by the file; 0 in regression. gap (n,) float32: largest
    difference of a row's logits (its values) between the two, infinite where one of them is no number. spread: standard
    deviation of the model's logits (values) over rows and classes. decided_int8 (n,), gap_int8 (n,): of the file in
    eight bits; empty where there is none, and then `why_no_int8`. clusters (n,): group of each row; the row itself
    where none is given.
    sizes (s,): rows at once, for each of which by_size (s,) is the largest difference of a logit from the file run on
    batches of the audit's size, over `few` rows. again: the largest difference between two runs of the file on those.
    bytes, bytes_int8: of the files; 0 where there is none.
    """

    decided: Int[np.ndarray, "n 2"]
    gap: Float[np.ndarray, " n"]
    spread: float
    decided_int8: Int[np.ndarray, " m"]
    gap_int8: Float[np.ndarray, " m"]
    why_no_int8: str
    clusters: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " s"]
    by_size: Float[np.ndarray, " s"]
    few: int
    again: float
    bytes: int
    bytes_int8: int
