"""Tables written by other programs: CSV and Parquet, and predictions in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.data.labels import class_indices, one_column
from uncork.data.split import Split
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    import pyarrow

TOLERANCE = 1e-3
PREFIXES = ("p_", "prob_", "proba_")
SINGLE_NAMES = ("p", "prob", "proba", "probability")


def read_table(path: str | Path, *, texts: Sequence[str] = ()) -> pyarrow.Table:
    """All of a .csv or .parquet file. `texts`: columns of a .csv that are no numbers, whatever they look like ("007").

    Raises BadInput where it can't be read.
    """
    import pyarrow
    from pyarrow import csv

    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise BadInput(f"{path}: tables are read from .csv and .parquet, not {path.suffix or 'a name without suffix'}")
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            return file.read()
    try:
        as_texts = csv.ConvertOptions(column_types=dict.fromkeys(texts, pyarrow.string()))
        return csv.read_csv(path, convert_options=as_texts)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} can't be read as CSV: {str(error).splitlines()[0]}") from error


@contextmanager
def open_parquet(path: str | Path) -> Iterator[Any]:
    """A pyarrow ParquetFile. Raises BadInput where it can't be read, then or in the `with`."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} can't be read as Parquet: {str(error).splitlines()[0]}") from error


def parquet_column(path: str | Path, name: str) -> np.ndarray:
    """One column (n,) of a Parquet file."""
    with open_parquet(path) as file:
        if name not in file.schema_arrow.names:
            raise missing_column(path, name, file.schema_arrow.names)
        table = file.read(columns=[name])
    return _values(table, name, path)


def missing_column(path: str | Path, name: str, there: Sequence[str]) -> BadInput:
    """The error for a column that isn't in the file."""
    return BadInput(f"{path} has no column {name!r}: it has {', '.join(there)}")


def predictions_split(
    path: str | Path, label: str, *, columns: Sequence[str] | None = None, id: str | None = None
) -> tuple[Split, tuple[str, ...]]:
    """A table of labels and predicted probabilities → a Split of probabilities (n, K) float64, and the K class names.

    Probability columns: `columns`; else all float columns where they sum to one; else those named p_…, prob_… or
    proba_…. A single one is the probability of label 1 (of labels 0 and 1), or of the class it is named for.
    Labels are class names or indices. Raises BadInput naming the row and column that don't fit.
    """
    table = read_table(path)
    for name in (label, *([id] if id else []), *(columns or ())):
        if name not in table.column_names:
            raise missing_column(path, name, table.column_names)
    if not table.num_rows:
        raise BadInput(f"{path}: the table has no rows: the split is empty")
    names = list(columns) if columns else _probability_columns(table, label, id, path)
    p = np.stack([_probabilities(table, name, path) for name in names], axis=1)
    labels = _values(table, label, path)
    classes = _class_names(names)
    if len(names) == 1:
        p, classes = _two_columns(p[:, 0], classes[0], labels, names[0], label, path)
    off = np.flatnonzero(np.abs(p.sum(axis=1) - 1) > TOLERANCE)
    if len(off):
        raise BadInput(
            f"{path}: the probabilities of row {off[0]} sum to {p[off[0]].sum():.4g}, not 1 ({', '.join(names)}): "
            "name the probability columns with --columns, or normalise them (softmax of logits)"
        )
    y = class_indices(labels, classes=classes, n_outputs=len(classes), place=f"{path}: column {label!r}")
    return Split(p, y, ids=None if id is None else _values(table, id, path)), classes


def _probability_columns(table: pyarrow.Table, label: str, id: str | None, path: str | Path) -> list[str]:
    from pyarrow import types

    others = [field for field in table.schema if field.name not in (label, id)]
    floats = [field.name for field in others if types.is_floating(field.type)]
    if len(floats) > 1:
        sums = sum(table.column(name).to_numpy().astype(float) for name in floats)
        # Most rows decide, so that one bad row is named as such rather than hiding what the columns are.
        if np.mean(np.abs(sums - 1) <= TOLERANCE) > 0.5:
            return floats
    named = [field.name for field in others if field.name.startswith(PREFIXES)]
    named = named or [name for name in floats if name in SINGLE_NAMES]
    if not named:
        raise BadInput(
            f"{path}: no probability columns were found among {', '.join(table.column_names)}: "
            "no float columns sum to one and none starts with p_, prob_ or proba_; name them with --columns"
        )
    return named


def _probabilities(table: pyarrow.Table, name: str, path: str | Path) -> np.ndarray:
    try:
        values: np.ndarray = table.column(name).to_numpy().astype(np.float64)
    except (TypeError, ValueError):
        kind = table.schema.field(name).type
        raise BadInput(f"{path}: column {name!r} holds {kind}, not probabilities: leave it out of --columns") from None
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        raise BadInput(f"{path}: column {name!r} has no value (NaN or null) in row {bad[0]}: leave such rows out")
    bad = np.flatnonzero((values < -TOLERANCE) | (values > 1 + TOLERANCE))
    if len(bad):
        raise BadInput(
            f"{path}: column {name!r} holds {values[bad[0]]:.4g} in row {bad[0]}, which is no probability: "
            "name the probability columns with --columns, or apply softmax to logits first"
        )
    return np.asarray(np.clip(values, 0, 1))


def _two_columns(
    p: np.ndarray, named: str, labels: np.ndarray, column: str, label: str, path: str | Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """One column of probabilities → both classes'."""
    values = [str(value) for value in np.unique(labels)]
    if labels.dtype.kind in "iuf" and set(np.unique(labels).tolist()) <= {0, 1}:
        classes: tuple[str, ...] = ("0", "1")
    elif len(values) == 2 and named in values:
        classes = (values[1 - values.index(named)], named)
    else:
        shown = ", ".join(values[:6]) + (", …" if len(values) > 6 else "")
        raise BadInput(
            f"{path}: there is one probability column, {column!r}, but {label!r} holds {shown}: use labels 0 and 1, "
            f"name the column p_CLASS after one of two classes, or name all probability columns with --columns"
        )
    return np.stack([1 - p, p], axis=1), classes


def _class_names(columns: Sequence[str]) -> tuple[str, ...]:
    prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in columns)), "")
    return tuple(name.removeprefix(prefix) for name in columns)


def _values(table: pyarrow.Table, name: str, path: str | Path) -> np.ndarray:
    return column_values(table.column(name), name, path)


def column_values(column: pyarrow.ChunkedArray, name: str, path: str | Path) -> np.ndarray:
    """A column (n,) of labels, ids or groups: ints, floats or strings. Raises BadInput where a row has no value."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise BadInput(f"{path}: column {name!r} has no value in row {row}: leave such rows out")
    if not (pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)) and not (
        pyarrow.types.is_boolean(column.type)
    ):
        column = column.cast(pyarrow.string())
    return one_column(column.to_numpy(), name, len(column), place=str(path))
