"""What a user brings instead of having models retrained: out-of-fold predictions, or models of several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput

TOLERANCE = 1e-3
_FOLDS_MEANT = "give, for each row of train, the number of the fold whose model did not see it"


@dataclass(frozen=True)
class FoldTable:
    """A CSV or Parquet table of out-of-fold predictions, by the names of its columns.

    `repeat`: None for the column "repeat" where there is one. `id`: None where the rows of each repeat stand in the
    order of train's. `columns`: of probabilities, in the order of the classes; None where their names tell.
    """

    path: str
    fold: str = "fold"
    repeat: str | None = None
    id: str | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class GivenPool:
    """Made by `Pool.from_predictions` or `Pool.from_checkpoints`; goes to `audit(subject, pool=...)`.

    predictions, folds: one (n, K) and one (n,) array for each repeat; `ids`: (n,) names of their rows, None where they
    stand in the order of train's. table: where all of these are still to be read from. models: trained on all of train.
    What takes the subject to check (rows, classes, ids) is checked by the audit, before it writes anything.
    """

    predictions: tuple[np.ndarray, ...] = ()
    folds: tuple[np.ndarray, ...] = ()
    ids: np.ndarray | None = None
    table: FoldTable | None = None
    models: tuple[Any, ...] = ()

    @property
    def words(self) -> str:
        """What was brought."""
        return "checkpoints" if self.models else "predictions"


def of_table(table: FoldTable) -> GivenPool:
    """Raises BadInput where what should name a column is no name."""
    for name, value in (("folds", table.fold), ("ids", table.id)):
        if value is not None and not isinstance(value, str):
            raise BadInput(f"{name} is of type {type(value).__name__}: with a table give the name of its column")
    return GivenPool(table=table)


def of_predictions(probabilities: Any, folds: Any, ids: Any = None) -> GivenPool:
    """Raises BadInput where a shape doesn't fit, a fold is missing, or a row is no distribution."""
    if folds is None:
        raise BadInput(f"folds is missing: {_FOLDS_MEANT}")
    numbers = _folds(folds)
    n = numbers.shape[1]
    given = [_matrix(values, place) for values, place in _repeats(probabilities, n)]
    if len(numbers) not in (1, len(given)):
        raise BadInput(f"folds are given for {len(numbers)} repeats, but there are {len(given)}: give folds for each")
    first = given[0].shape
    for values, (_, place) in zip(given, _repeats(probabilities, n), strict=True):
        if len(values) != n:
            raise BadInput(f"{place} has {len(values)} rows but folds has {n}: {_FOLDS_MEANT}")
        if values.shape != first:
            raise BadInput(f"{place} has shape {values.shape}, but the first repeat has {first}: give the same classes")
        check_rows(values, place)
    names = None if ids is None else np.asarray(ids).astype(str)
    if names is not None and names.shape != (n,):
        raise BadInput(f"ids has shape {names.shape}, but there are {n} rows: give one id a row")
    return GivenPool(tuple(given), tuple(np.broadcast_to(numbers, (len(given), n))), names)


def of_checkpoints(models: Any) -> GivenPool:
    """Raises BadInput where there are fewer than two, or one is given twice."""
    if isinstance(models, str | PathLike) or not isinstance(models, Sequence):
        raise BadInput(f"models is of type {type(models).__name__}: give a list of models, or of paths to weights")
    if len(models) < 2:
        raise BadInput(f"{len(models)} checkpoint: give at least 2, better 3, trained on all of train from other seeds")
    for i, model in enumerate(models):
        for j, other in enumerate(models[:i]):
            paths = isinstance(model, str | PathLike) and isinstance(other, str | PathLike)
            if model is other or (paths and str(model) == str(other)):
                raise BadInput(f"models {j} and {i} are the same: give models that were trained from other seeds")
    return GivenPool(models=tuple(models))


def check_rows(values: np.ndarray, place: str) -> None:
    """Raises BadInput for the first row that is not finite or, of two columns and more, no distribution."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise BadInput(f"{place} holds NaN or infinity in row {bad[0]}: every row of train needs a prediction")
    if values.shape[1] == 1:
        return
    off = np.abs(values.sum(axis=1) - 1) > TOLERANCE
    bad = np.flatnonzero(off | (values < -TOLERANCE).any(axis=1))
    if len(bad):
        row = values[bad[0]]
        what = f"include {row.min():.4g}" if row.min() < -TOLERANCE else f"sum to {row.sum():.4g}, not 1"
        raise BadInput(f"{place}: the probabilities of row {bad[0]} {what}: give softmax outputs, not logits")


def check_folds(folds: np.ndarray, place: str) -> None:
    """Raises BadInput where all rows are in one fold: its model would have seen nothing."""
    if len(np.unique(folds)) < 2:
        raise BadInput(f"{place} names one fold only: its model would have seen no row at all; {_FOLDS_MEANT}")


def _folds(folds: Any) -> np.ndarray:
    """(r, n) numbers of folds."""
    try:
        numbers = np.asarray(folds)
    except ValueError:
        raise BadInput("folds has repeats of different lengths: give a fold for each row in each") from None
    if numbers.ndim not in (1, 2) or not numbers.size:
        raise BadInput(f"folds has shape {numbers.shape}: give one fold a row, (n,), or (repeats, n)")
    numbers = np.atleast_2d(numbers)
    if numbers.dtype.kind == "f":
        bad = np.flatnonzero((~np.isfinite(numbers) | (numbers != np.floor(numbers))).any(axis=0))
        if len(bad):
            raise BadInput(f"folds holds {numbers[:, bad[0]].tolist()} in row {bad[0]}, which is no fold: give ints")
    elif numbers.dtype.kind not in "iu":
        raise BadInput(f"folds holds {numbers.dtype}: give ints")
    for repeat, own in enumerate(numbers):
        check_folds(own, "folds" if len(numbers) == 1 else f"folds of repeat {repeat}")
    return numbers.astype(np.int64)


def _repeats(probabilities: Any, n: int) -> list[tuple[Any, str]]:
    """One array for each repeat, with its name. A list of n rows is one array, a list of arrays of n rows are many."""
    listed = isinstance(probabilities, list | tuple) or np.ndim(probabilities) == 3
    first: Any = probabilities[0] if listed and len(probabilities) else 0.0
    if np.ndim(first) == 2 or (np.ndim(first) == 1 and len(first) == n != len(probabilities)):
        return [(values, f"probabilities of repeat {r}") for r, values in enumerate(probabilities)]
    return [(probabilities, "probabilities")]


def _matrix(values: Any, place: str) -> np.ndarray:
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{place} holds no numbers ({str(error).splitlines()[0]}): give (rows, classes)") from None
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or not matrix.size:
        raise BadInput(f"{place} has shape {matrix.shape}: give (rows, classes), or (rows,)")
    return matrix
