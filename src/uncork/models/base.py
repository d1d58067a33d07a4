"""The one face that every kind of model has inside uncork."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from uncork.schema.errors import BadInput

SMALLEST_PROBABILITY = 1e-12
TASKS = ("classification", "regression")
BATCH = 256


@dataclass(frozen=True, eq=False)
class Output:
    """What a model says of a batch: logits (b, K) float32, features (b, d) float32 or None.

    In regression logits are the predicted values (b, 1), float64 where the model says so much. `answered`: (b,) bool,
    False where it hands the row over instead of deciding it; None where it decides all.
    """

    logits: np.ndarray
    features: np.ndarray | None = None
    answered: np.ndarray | None = None


@runtime_checkable
class Model(Protocol):
    """`task`: "classification" or "regression". `n_outputs`: K, or 1. `has_inputs`: whether it reads raw inputs.

    `accepts_nan`: whether a NaN in the inputs is the model's own affair (imputing pipelines, trees).
    `classes`: names in the order of the outputs, where the model knows them.
    """

    task: str
    has_inputs: bool
    accepts_nan: bool
    classes: tuple[str, ...] | None

    @property
    def n_outputs(self) -> int: ...

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """The model's answer to a batch as `Split.take` gives it. Raises BadInput where the batch doesn't fit."""

    def fingerprint(self) -> str:
        """Hex hash of weights and settings."""

    def describe(self) -> dict[str, Any]:
        """JSON: kind, parameters, bytes, feature_layer, features (how they were found), notes."""


def from_probabilities(p: np.ndarray) -> np.ndarray:
    """(b, K) probabilities → float32 logits, ln p, with p clipped at 1e-12."""
    return np.asarray(np.log(np.clip(p, SMALLEST_PROBABILITY, None)), dtype=np.float32)


def from_score(z: np.ndarray) -> np.ndarray:
    """(b,) logit of the second of two classes → (b, 2) float32 logits [0, z]."""
    return np.stack([np.zeros_like(z), z], axis=1).astype(np.float32)


def frame_matrix(frame: Any, dtype: Any = np.float32) -> np.ndarray:
    """A DataFrame of numbers as (b, columns). Raises BadInput that names a column that holds none."""
    columns = []
    for name in frame.columns:
        values = frame[name].to_numpy()
        if values.dtype.kind not in "iufb":
            raise BadInput(
                f"x: column {name!r} holds {values.dtype}, not numbers: encode it, or leave it out of the DataFrame"
            )
        columns.append(values.astype(dtype))
    return np.stack(columns, axis=1)


def is_frame(batch: Any) -> bool:
    """Whether a batch is a DataFrame."""
    return hasattr(batch, "columns") and hasattr(batch, "to_numpy")


def all_numbers(frame: Any) -> bool:
    """Whether every column of a DataFrame holds plain numbers, in every batch of it: pandas' own types, such as Int64,
    turn into objects where a value is missing."""
    if hasattr(frame, "dtypes") and hasattr(frame, "iloc"):
        return all(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in frame.dtypes)
    return all(frame[name].to_numpy().dtype.kind in "iufb" for name in frame.columns)


def in_order(names: Sequence[str], batch: Mapping[str, Any]) -> tuple[Any, ...]:
    """The parts of a mapping in its own order, for a model that calls them otherwise: `names`, in its order.

    Raises BadInput where both have a name, but at another place: then order would mix the parts up.
    """
    for i, name in enumerate(batch):
        if name in names and list(names).index(name) != i:
            raise BadInput(
                f"x: its inputs are {', '.join(batch)}, but the model takes {', '.join(names)}: some names agree, and "
                "stand at other places: give all by the model's names, or Subject(preprocess=…)"
            )
    return tuple(batch.values())


def rows_in(batch: Any) -> int:
    """Number of rows of a batch as `Split.take` gives it."""
    return len(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


def logits_of(model: Model, split: Any) -> np.ndarray:
    """(n, K) logits of every row of a Split, batch by batch; in regression the predicted values (n, 1)."""
    return np.concatenate([model.outputs(batch).logits for _, batch in split.batches(BATCH)])
