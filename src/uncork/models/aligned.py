"""A classifier that knows fewer classes than the subject, with its columns put in their places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from uncork.models.base import SMALLEST_PROBABILITY, Model
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import Unavailable


class Aligned(Wrapped):
    """`inner` with one column for each name: output i goes to `columns[i]`, the rest get probability 1e-12."""

    def __init__(self, inner: Model, columns: np.ndarray, names: Sequence[str]) -> None:
        super().__init__(inner)
        self.columns, self.classes = columns, tuple(names)
        self.told = {"columns": columns.tolist(), "of": len(names)}

    @property
    def n_outputs(self) -> int:
        return len(self.classes or ())

    def moved(self, logits: np.ndarray) -> np.ndarray:
        absent = logsumexp(logits, axis=1, keepdims=True) + np.log(SMALLEST_PROBABILITY)
        moved = np.repeat(absent.astype(np.float32), self.n_outputs, axis=1)
        moved[:, self.columns] = logits
        return moved


def aligned(model: Model, names: Sequence[str]) -> Model:
    """`model` itself where its outputs are in the order of `names`, else one whose outputs are.

    Raises Unavailable where its outputs can't be matched with the names.
    """
    if model.task != "classification" or model.n_outputs == 0:  # a torch module that hasn't run yet
        return model
    columns = columns_of(model, names)
    if columns is None:
        own = f" ({', '.join(model.classes)})" if model.classes else ""
        raise Unavailable(
            f"the retrained model has {model.n_outputs} outputs{own}, but there are {len(names)} classes: "
            "let the recipe's model have an output, or a name in classes_, for each"
        )
    if np.array_equal(columns, np.arange(len(names))):
        return model
    return Aligned(model, columns, names)


def columns_of(model: Model, names: Sequence[str]) -> np.ndarray | None:
    """Which class each output stands for, (outputs,) ints; None where that can't be told.

    Estimators know only the classes they were fitted on: those of a recipe saw class indices, the user's own names.
    """
    own, in_order = model.classes, np.arange(len(names))
    if own is not None and tuple(own) != tuple(names):
        for known in ([str(i) for i in in_order], list(names)):
            if set(own) <= set(known):
                return np.array([known.index(name) for name in own], dtype=np.int64)
    return in_order if model.n_outputs == len(names) else None
