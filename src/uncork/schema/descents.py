"""How fast optimisers bring the loss down in equal time, and how sharply the loss bends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: Shares of the recipe's time that the finalists are trained for, each with a schedule of its own.
SHARES = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Descents(Request):
    """Optimisers tried beside the recipe's own, with as many learning rates each.

    `every`: train all of them to the end with fresh seeds, not only the best one.
    """

    others: tuple[str, ...] = ("adamw", "muon", "soap", "sgd")
    every: bool = False
    kind: ClassVar[str] = "descents"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return f"optimisers: {', '.join(self.others)}"


@dataclass(frozen=True, eq=False)
class DescentsData:
    """Answer to `Descents`.

    names (m,): the recipe's own optimiser first. rates (m, t): learning rates tried; screened (m, t): loss of each on a
    fifth of train, of one training in the recipe's wall time; behind (m, t): standard error, over these rows, of how
    far each is behind its optimiser's best, 0 of that and NaN of what diverged. chosen (m,): the best of each. missing:
    optimisers that were not tried, and why.
    step_seconds (m, rounds): wall time of one training step, side by side. steps (m,): that fit into the recipe's time.
    finalists (f,): which of `names` were trained on, the recipe's own first, then the best of the others.
    loss (f, s, len(SHARES)): mean loss on validation, of fresh seeds s, after these shares of the time.
    sharpness (b,): largest eigenvalue of the Hessian of the training loss at the audited weights, on b batches of
    `batch_rows` rows; residual (b,): how far from an eigenvalue each is at most. trace (b,): Hutchinson's mean.
    parameters: how many. lr: the recipe's. why_flat: why there is no curvature; "" where there is.
    """

    names: tuple[str, ...]
    rates: Float[np.ndarray, "m t"]
    screened: Float[np.ndarray, "m t"]
    behind: Float[np.ndarray, "m t"]
    chosen: Int[np.ndarray, " m"]
    missing: dict[str, str]
    step_seconds: Float[np.ndarray, "m rounds"]
    steps: Int[np.ndarray, " m"]
    finalists: Int[np.ndarray, " f"]
    loss: Float[np.ndarray, "f s shares"]
    sharpness: Float[np.ndarray, " b"]
    residual: Float[np.ndarray, " b"]
    trace: Float[np.ndarray, " b"]
    batch_rows: int
    parameters: int
    lr: float
    why_flat: str = ""
