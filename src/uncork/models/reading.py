"""How a net's raw outputs are read: as logits, or as probabilities, by what they are."""

from __future__ import annotations

import numpy as np

from uncork.models.base import from_probabilities, from_score
from uncork.schema.errors import BadInput


class Reading:
    """What models share whose outputs may be logits or probabilities.

    One output in classification is the logit of the second of two classes. Outputs that are probabilities already
    (softmax or sigmoid at the end) are turned back into logits. `n_outputs` is 0 until a batch has been read.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.n_outputs = 0
        self._probabilities: bool | None = None
        self._columns = 0

    def _logits(self, out: np.ndarray, b: int, precision: float = 0.0) -> np.ndarray:
        """(b, K) float32 logits, or (b, 1) values, of the outputs for `b` rows. Raises BadInput for other shapes.

        `precision`: the rounding of the type in which they were computed, by which probabilities may miss one.
        """
        if out.size and (out.ndim > 2 and max(out.shape[2:]) > 1):
            raise BadInput(f"the model's output has shape {out.shape}: uncork reads (rows, classes), or (rows,)")
        if b == 0 or out.size % b or (out.ndim > 1 and len(out) != b):
            raise BadInput(f"the model's output has shape {out.shape} for {b} rows: it needs one row of outputs each")
        out = out.reshape(b, -1)
        if self.task == "regression":
            if out.shape[1] != 1:
                raise BadInput(f"the model has {out.shape[1]} outputs: regression takes one; or give metric='error'")
        elif self._are_probabilities(out, max(1e-4, precision)):
            out = from_probabilities(np.concatenate([1 - out, out], axis=1) if out.shape[1] == 1 else out)
        elif out.shape[1] == 1:
            out = from_score(out[:, 0])
        self.n_outputs = out.shape[1]
        wide = self.task == "regression" and out.dtype == np.float64
        return out if wide else out.astype(np.float32, copy=False)

    def _are_probabilities(self, out: np.ndarray, tolerance: float) -> bool:
        """By the values: all in [0, 1] and, of more than one column, summing to one. The first that isn't ends it.

        Rows that hold NaN or inf tell nothing: how the others are read must not hang on them. One column whose values
        so far are in [0, 1] and all the same settles nothing, and is read as a logit.
        """
        self._columns = out.shape[1]
        out = out[np.isfinite(out).all(axis=1)]
        if self._probabilities is not False and len(out):
            if not ((out >= 0) & (out <= 1 + tolerance)).all():
                self._probabilities = False
            elif out.shape[1] > 1:
                self._probabilities = bool((np.abs(out.sum(axis=1, dtype=np.float64) - 1) <= tolerance).all())
            elif self._probabilities is None and out.max() > out.min():
                self._probabilities = True
        return bool(self._probabilities)

    def _note(self) -> str:
        if self._probabilities:
            return "the outputs are probabilities, as their values show; their logarithm (logit) is used"
        if self._columns == 1:
            return "the one output is read as the logit of the second class, since its values are no probabilities"
        return ""
