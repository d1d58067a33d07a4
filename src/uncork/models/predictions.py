"""No model at all: splits that hold its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.models.base import TASKS, Output, frame_matrix, from_probabilities, is_frame
from uncork.schema.errors import BadInput

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Predictions:
    """Give this as Subject's model where x holds probabilities (n, K), or (n,) of the second of two classes.

    `task="regression"`: x holds predicted values (n,).
    """

    task: str = "classification"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise BadInput(f"Predictions(task={self.task!r}): use one of {', '.join(TASKS)}")


class PredictionsModel:
    """Passes the probabilities through as logits, ln p. `n_outputs`: K."""

    has_inputs = False
    accepts_nan = False
    classes: tuple[str, ...] | None = None

    def __init__(self, task: str, n_outputs: int) -> None:
        self.task, self.n_outputs = task, n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits (b, K), or values (b, 1). Raises BadInput naming the row of the batch that does not fit."""
        self.check_batch("x", batch)
        values = as_predictions(batch, self.task)
        return Output(values if self.task == "regression" else from_probabilities(values))

    def check_batch(self, name: str, batch: Any, first_row: int = 0) -> None:
        """Raises BadInput naming the first row, counted from `first_row`, that is no prediction. `name`: "test.x"."""
        values = as_predictions(batch, self.task)
        if values.shape[1] != self.n_outputs:
            raise BadInput(f"{name} has {values.shape[1]} probabilities a row, not {self.n_outputs} as elsewhere")
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise BadInput(f"{name} holds NaN or infinity in row {first_row + bad[0]}: leave such rows out")
        if self.task == "regression":
            return
        sums = values.sum(axis=1)
        bad = np.flatnonzero((np.abs(sums - 1) > TOLERANCE) | (values < -TOLERANCE).any(axis=1))
        if len(bad):
            row = values[bad[0]]
            what = f"sum to {row.sum():.4g}, not 1" if row.min() >= -TOLERANCE else f"include {row.min():.4g}"
            raise BadInput(
                f"{name}: the probabilities of row {first_row + bad[0]} {what}: give softmax outputs, not logits"
            )

    def fingerprint(self) -> str:
        """The same for all predictions: what they say lies in the splits."""
        return f"predictions-{self.task}-{self.n_outputs}"

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "predictions",
            "parameters": None,
            "bytes": None,
            "feature_layer": None,
            "features": "none: there is no model, only its predictions",
            "note": "",
        }


def as_predictions(batch: Any, task: str) -> np.ndarray:
    """A batch as (b, K) probabilities, or (b, 1) values in regression."""
    values = np.asarray(frame_matrix(batch, np.float64) if is_frame(batch) else batch, dtype=np.float64)
    if values.ndim > 2:
        raise BadInput(f"x has shape {values.shape}: predictions are (rows, classes), or (rows,)")
    values = values.reshape(len(values), -1)
    if task == "regression" and values.shape[1] != 1:
        raise BadInput(f"x has {values.shape[1]} columns: give one predicted value a row")
    if task == "classification" and values.shape[1] == 1:
        return np.concatenate([1 - values, values], axis=1)
    return values
