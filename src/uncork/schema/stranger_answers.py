"""How sure the model is of rows that it was not made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class StrangerAnswers(Request):
    """A classifier's confidence on the subject's strangers."""

    kind: ClassVar[str] = "stranger-answers"

    def label(self) -> str:
        return "answers to strangers"


@dataclass(frozen=True, eq=False)
class StrangerAnswersData:
    """Answer to `StrangerAnswers`. confidence (m,): the largest probability of each stranger; no rows where the subject
    has none, or does regression. answered (m,): False where the model hands the row over.
    """

    confidence: Float[np.ndarray, " m"]
    answered: Bool[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.confidence)
