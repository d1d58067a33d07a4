"""Tables of out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.data.tables import _class_names, _probabilities, _probability_columns, _values, missing_column, read_table
from uncork.schema.errors import BadInput
from uncork.schema.given_pool import FoldTable, GivenPool, of_predictions

if TYPE_CHECKING:
    import pyarrow

VALUES = ("prediction", "predicted", "pred")


def read_folds(given: FoldTable, task: str, classes: Sequence[str]) -> GivenPool:
    """The table's predictions, in the order of `classes`, one array for each repeat.

    Probability columns are found as in `predictions_split`; predicted values of a regression are the only float column,
    or one named prediction, predicted or pred. Raises BadInput naming the row and column that don't fit.
    """
    table, path = read_table(given.path), given.path
    repeat = given.repeat or ("repeat" if "repeat" in table.column_names else None)
    beside = [name for name in (given.fold, repeat, given.id) if name is not None]
    for name in (*beside, *(given.columns or ())):
        if name not in table.column_names:
            raise missing_column(path, name, table.column_names)
    if not table.num_rows:
        raise BadInput(f"{path}: the table has no rows")
    rest = table.drop_columns(beside)
    values = _targets(rest, given) if task == "regression" else _by_class(rest, given, classes)
    fold = _values(table, given.fold, path)
    ids = None if given.id is None else _values(table, given.id, path).astype(str)
    parts = np.zeros(len(fold), np.int64) if repeat is None else _codes(_values(table, repeat, path))
    rows = [np.flatnonzero(parts == part) for part in range(parts.max() + 1)]
    if len({len(r) for r in rows}) > 1:
        raise BadInput(f"{path}: the repeats in column {repeat!r} have {', '.join(str(len(r)) for r in rows)} rows")
    if ids is not None:
        rows = [r[np.argsort(ids[r], kind="stable")] for r in rows]
        for r in rows:
            if not np.array_equal(ids[r], ids[rows[0]]):
                raise BadInput(
                    f"{path}: the repeats in column {repeat!r} don't hold the same ids: give each row in each"
                )
    folds = [_codes(fold[r]) for r in rows]
    return of_predictions([values[r] for r in rows], folds, None if ids is None else ids[rows[0]])


def _codes(names: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return codes


def _by_class(table: pyarrow.Table, given: FoldTable, classes: Sequence[str]) -> np.ndarray:
    """(rows, K) in the order of the classes."""
    names = list(given.columns) if given.columns else _probability_columns(table, "", None, given.path)
    p = np.stack([_probabilities(table, name, given.path) for name in names], axis=1)
    own = _class_names(names)
    if len(names) == 1 and len(classes) == 2:
        first = own[0] == classes[0] and names[0] != own[0]
        return np.concatenate([p, 1 - p] if first else [1 - p, p], axis=1)
    if set(own) == set(classes) and len(own) == len(classes):
        return p[:, [own.index(name) for name in classes]]
    if given.columns is None or len(names) != len(classes):
        raise BadInput(
            f"{given.path}: the probability columns are {', '.join(names)}, but the classes are {', '.join(classes)}: "
            "name the columns p_CLASS, or give them in the order of the classes with columns (--columns)"
        )
    return p


def _targets(table: pyarrow.Table, given: FoldTable) -> np.ndarray:
    """(rows, 1) predicted values."""
    from pyarrow import types

    floats = [field.name for field in table.schema if types.is_floating(field.type)]
    named = [name for name in table.column_names if name in VALUES]
    names = list(given.columns or (floats if len(floats) == 1 else named))
    if len(names) != 1:
        raise BadInput(
            f"{given.path}: predicted values are one column, but {', '.join(names) or 'none'} was found among "
            f"{', '.join(table.column_names)}: name it with columns (--columns)"
        )
    return _values(table, names[0], given.path).astype(np.float64)[:, None]
