"""Split: rows, with their labels, ids and groups beside them, whatever they are stored in."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.labels import one_column
from uncork.data.sources import Kind, as_source
from uncork.schema.errors import BadInput


class Split:
    """Rows `x` with labels or targets `y`, names `ids`, `groups` of rows that belong together, and `times`.

    `x`: a numpy array, torch tensor, memory map, map-style Dataset (its items are (x, y) or x), list of str,
    pandas/polars DataFrame, or {name: array} for a net of several inputs. `y`, `ids`, `groups`: 1-D, one value a row,
    ints or strings (`y` may be floats).
    `times`: 1-D, numbers or dates, when each row was drawn: where such a split is halved, its later rows judge.
    Nothing is copied; memory maps and Parquet files may be far larger than memory.
    Raises BadInput where `x` is none of these or empty, or a length differs.
    """

    def __init__(self, x: Any, y: Any = None, *, ids: Any = None, groups: Any = None, times: Any = None) -> None:
        self._source = as_source(x)
        self._rows: np.ndarray | None = None  # positions in the source; None for all of it
        self._classes = self._source.classes
        n = len(self._source)
        if n == 0:
            raise BadInput("Split: x has no rows: the split is empty")
        self._y = None if y is None else one_column(y, "y", n)
        self._ids = None if ids is None else one_column(ids, "ids", n)
        self._groups = None if groups is None else one_column(groups, "groups", n)
        self._times = None if times is None else one_column(_moments(times), "times", n)

    @classmethod
    def from_parquet(
        cls,
        path: str | Path,
        target: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        id: str | None = None,
        groups: str | None = None,
    ) -> Split:
        """Numeric columns of a Parquet file as a float32 matrix, streamed by row groups.

        `target`, `id`, `groups`: the columns that hold y, ids, groups. `columns`: the features; None for all others.
        Raises BadInput for a file or column that isn't there, and for features that are no numbers.
        """
        from uncork.data.parquet import ParquetRows
        from uncork.data.tables import parquet_column

        besides = {"y": target, "ids": id, "groups": groups}
        source = ParquetRows(path, columns, [name for name in besides.values() if name is not None])
        beside = {key: None if name is None else parquet_column(path, name) for key, name in besides.items()}
        return cls(source, **beside)

    def __len__(self) -> int:
        return len(self._source) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return f"Split({len(self)} rows, {self.kind})"

    @property
    def kind(self) -> Kind:
        """ "array", "text", "frame", "mapping" or "dataset": of the first and last `take` returns an array."""
        return self._source.kind

    @property
    def notes(self) -> tuple[str, ...]:
        """What was converted or left out in reading the data, for the report."""
        return self._source.notes

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names that labels which are indices stand for, where the data tell; None of labels that were changed."""
        return self._classes

    @property
    def y(self) -> np.ndarray | None:
        """(n,) labels or targets as given; a dataset's own are read when first asked for, and kept."""
        if self._y is not None:
            return self._y
        labels = self._source.labels()
        return labels if labels is None or self._rows is None else labels[self._rows]

    @property
    def ids(self) -> np.ndarray:
        """(n,) ids as given, else positions in the data the split was made from."""
        if self._ids is not None:
            return self._ids
        return np.arange(len(self)) if self._rows is None else self._rows

    @property
    def has_ids(self) -> bool:
        return self._ids is not None

    @property
    def groups(self) -> np.ndarray | None:
        """(n,) groups as given."""
        return self._groups

    @property
    def times(self) -> np.ndarray | None:
        """(n,) when each row was drawn: numbers, dates as nanoseconds."""
        return self._times

    def take(self, rows: np.ndarray) -> Any:
        """The rows at these positions (ints): an array (b, …), a list of str, a DataFrame, or {name: array}; a copy."""
        rows = self._positions(rows)
        return self._source.take(rows if self._rows is None else self._rows[rows])

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, Any]]:
        """(positions, batch) in order, `size` rows at a time; the last may be smaller."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.take(rows)

    def subset(self, rows: np.ndarray) -> Split:
        """A view of some rows (positions, or a mask (n,)), in the order given. Raises BadInput where none is left."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise BadInput(f"Split: the mask has shape {rows.shape} but there are {len(self)} rows")
            rows = np.flatnonzero(rows)
        if not len(rows):
            raise BadInput("Split: no rows are left: the split is empty")
        rows = self._positions(rows)
        view = copy.copy(self)
        view._rows = rows if self._rows is None else self._rows[rows]
        for name in ("_y", "_ids", "_groups", "_times"):
            column = getattr(self, name)
            setattr(view, name, None if column is None else column[rows])
        return view

    def with_y(self, y: Any) -> Split:
        """The same rows with other labels."""
        view = copy.copy(self)
        view._y, view._classes = one_column(y, "y", len(self)), None
        return view

    def _positions(self, given: Any) -> np.ndarray:
        rows: np.ndarray = np.asarray(given, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            wrong = rows[(rows < 0) | (rows >= len(self))][0]
            raise BadInput(f"Split: row {wrong} was asked for, but there are {len(self)} rows (0–{len(self) - 1})")
        return rows


def _moments(times: Any) -> Any:
    """Dates as numbers, anything else as it is."""
    column = np.asarray(times)
    if column.dtype.kind == "M":
        if np.isnat(column).any():
            raise BadInput(f"Split: times has no date in row {int(np.flatnonzero(np.isnat(column))[0])}: leave it out")
        return column.astype("datetime64[ns]").astype(np.int64)
    if column.dtype.kind in "OU" and all(isinstance(value, str) for value in column):
        raise BadInput("Split: times holds strings: give numbers or dates (numpy.datetime64)")
    return times
