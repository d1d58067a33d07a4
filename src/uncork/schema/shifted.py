"""What the model makes of rows from where it is to be used next, and what is known of their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request, TwoSampleData

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Shifted(Request):
    """The model's outputs on the shifted rows that may be measured, which correspond to rows of validation, and how
    well the two can be told apart. No labels."""

    kind: ClassVar[str] = "shifted"

    def label(self) -> str:
        return "outputs on shifted"


@dataclass(frozen=True)
class ShiftedLabels(Request):
    """Labels of shifted rows: all there are, or of so many random ones; and which rows to label."""

    kind: ClassVar[str] = "shifted-labels"

    def label(self) -> str:
        return "labels of shifted"


@dataclass(frozen=True, eq=False)
class ShiftedData:
    """Answer to `Shifted`: n rows of shifted, of `size` that there are; the others are kept for remedies to be proven.

    logits: (n, K) float16, each row's largest is 0; (n, 0) for regression. predicted: (n,) the decision, or the value.
    answered: (n,) False where the model hands the row over. rows: (n,) positions in shifted. clusters: (n,) group of
    each row, or the row itself, numbered on from validation's; the same number where validation has the same group or
    id. pairs: (p, 2) positions in shifted and in validation of rows with the same id, which is given in both.
    told: classifiers that tell shifted (new) from validation by inputs alone, whatever the classes.
    """

    task: str
    logits: Float[np.ndarray, "n k"]
    predicted: np.ndarray
    answered: Bool[np.ndarray, " n"]
    rows: Int[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    pairs: Int[np.ndarray, "p 2"]
    told: TwoSampleData
    size: int

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class ShiftedLabelsData:
    """Answer to `ShiftedLabels`. rows, labels (k,): positions in shifted, in order, and class indices or targets.

    sampled: whether the k rows are a random part of those that may be measured, rather than all of them. asked: ids of
    random rows to label, in a random order, where labels were asked for and shifted has none; else none.
    """

    rows: Int[np.ndarray, " k"]
    labels: np.ndarray
    sampled: bool
    asked: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)
