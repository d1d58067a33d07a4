"""What outputs are compared with: labels, weights, and the loss between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from uncork.data.labels import class_indices
from uncork.data.split import Split
from uncork.schema.errors import BadInput


class Targets:
    """The y of one split, ready to be compared with outputs. String labels are indexed in sorted order.

    `like`: the targets of train, whose classes these follow. Raises BadInput where labels are absent or odd.
    """

    def __init__(
        self,
        loss: Callable[..., Any] | None,
        split: Split,
        *,
        place: str = "train.y",
        sample_weight: np.ndarray | None = None,
        class_weight: np.ndarray | None = None,
        like: Targets | None = None,
    ) -> None:
        y = split.y
        if y is None:
            raise BadInput(f"{place} is absent: training needs labels, give Split(x, y)")
        self._given, self._place = loss, place
        self.classification = y.dtype.kind != "f"
        self.classes: Sequence[str] | None = None
        if y.dtype.kind == "U":
            self.classes = np.unique(y).tolist() if like is None else like.classes
            y = class_indices(y, classes=self.classes, place=place)
        self._y = torch.from_numpy(y.astype(np.int64 if self.classification else np.float32))
        self._weight = _weights(self._y, sample_weight, class_weight, self.classification, place)

    def loss(self, outputs: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """Mean (weighted) loss of a batch: `outputs` (b, K), (b, 1) or (b,) for the rows at these positions."""
        at = torch.from_numpy(rows)
        y = self._y[at].to(outputs.device)
        if len(outputs) != len(y):
            raise BadInput(f"the model gives {len(outputs)} rows of outputs for a batch of {len(y)}: keep one a row")
        if outputs.ndim == 2 and outputs.shape[1] == 1:
            outputs = outputs[:, 0]  # else (b, 1) against (b,) would be broadcast to (b, b)
        losses = self._default(outputs, y) if self._given is None else self._given(outputs, y)
        if losses.ndim > 1 or losses.shape not in ((), y.shape):
            raise BadInput(f"recipe.loss returns shape {tuple(losses.shape)}: give one value a row, or their mean")
        if self._weight is None:
            return losses.mean()
        if losses.ndim == 0:
            raise BadInput("recipe.loss returns a mean, which can't be weighted: give one value a row")
        return (losses * self._weight[at].to(losses.device)).mean()

    def _default(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not self.classification:
            if outputs.shape != y.shape:
                raise BadInput(
                    f"{self._place} holds floats but the model has outputs of shape {tuple(outputs.shape[1:])}: "
                    "regression takes one output; for classes give integer labels"
                )
            return functional.mse_loss(outputs, y, reduction="none")
        k = 2 if outputs.ndim == 1 else outputs.shape[1]
        if int(y.max()) >= k or int(y.min()) < 0:
            wrong = int(y.max()) if int(y.max()) >= k else int(y.min())
            raise BadInput(
                f"{self._place} holds class {wrong}, but the model has {k} outputs (0–{k - 1}): "
                "check the labels' offset"
            )
        if outputs.ndim == 1:
            return functional.binary_cross_entropy_with_logits(outputs, y.float(), reduction="none")
        return functional.cross_entropy(outputs, y, reduction="none")


def _weights(
    y: torch.Tensor,
    sample_weight: np.ndarray | None,
    class_weight: np.ndarray | None,
    classification: bool,
    place: str,
) -> torch.Tensor | None:
    """(n,) float32 of mean 1, so that weighting does not change the learning rate's meaning."""
    if sample_weight is None and class_weight is None:
        return None
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(y),):
        raise BadInput(f"sample_weight has shape {weight.shape} but train has {len(y)} rows: give one weight a row")
    if class_weight is not None:
        per_class = np.asarray(class_weight, dtype=np.float64)
        if not classification or per_class.ndim != 1 or len(per_class) <= int(y.max()):
            raise BadInput(f"class_weight has shape {per_class.shape}: give one weight for each class in {place}")
        weight = weight * per_class[y.numpy()]
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise BadInput("the weights of the rows must be finite, not below 0, and not all 0")
    return torch.from_numpy((weight / weight.mean()).astype(np.float32))
