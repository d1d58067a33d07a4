"""Rows that were labelled anew: a mapping, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.labels import one_column
from uncork.data.tables import _values, missing_column, read_table
from uncork.schema.errors import BadInput

ID, LABEL = "id", "label"


def read_relabelled(
    given: Mapping[Any, Any] | str | Path, name: str = "relabelled"
) -> tuple[np.ndarray, np.ndarray, str]:
    """(ids as text, labels, what to call it in a message), of {id: label}, or of a table's columns id and label.

    `name`: of the argument. Raises BadInput where it is neither, a column is missing, or a value.
    """
    if isinstance(given, Mapping):
        values = np.empty(len(given), object)  # NumPy would turn numbers among names into names
        values[:] = list(given.values())
        labels = one_column(values, LABEL, len(given), place=name)
        return np.array([str(id) for id in given], dtype=str), labels, name
    if not isinstance(given, str | Path):
        raise BadInput(
            f"{name} is of type {type(given).__name__}: give {{id: label}}, or the path of a CSV or Parquet table "
            f"with the columns {ID} and {LABEL}"
        )
    table = read_table(given)
    for column in (ID, LABEL):
        if column not in table.column_names:
            raise missing_column(given, column, table.column_names)
    return _values(table, ID, given).astype(str), _values(table, LABEL, given), str(given)
