"""Rows of a Parquet file, read by row groups."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.encode import as_texts
from uncork.data.sources import Source
from uncork.data.tables import missing_column, open_parquet
from uncork.schema.errors import BadInput

KEPT_GROUPS = 2
_ROW_NUMBERS = "__index_level_"  # an index without a name, as pandas writes it


class _Groups(Source):
    """Columns of a Parquet file; at most two row groups are in memory.

    `columns`: which, in order; None for all but `besides`. Raises BadInput for columns that are absent.
    """

    def __init__(self, path: str | Path, columns: Sequence[str] | None, besides: Sequence[str] = ()) -> None:
        self.path = Path(path)
        with open_parquet(self.path) as file:
            self._schema = file.schema_arrow
            groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        names = self._schema.names
        kept = [name for name in names if name not in besides and not name.startswith(_ROW_NUMBERS)]
        self.columns = kept if columns is None else list(columns)
        for name in (*besides, *self.columns):
            if name not in names:
                raise missing_column(self.path, name, names)
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def _by_group(self, rows: np.ndarray) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
        """(a group's rows, which of them are asked for, their positions in `rows`), of each group that has any.

        To be used one by one: what is held on to stays in memory.
        """
        groups = np.searchsorted(self._ends, rows, side="right")
        for group in np.unique(groups):
            at = np.flatnonzero(groups == group)
            held = self._group(int(group))
            yield held, rows[at] - (self._ends[group] - len(held)), at

    def _group(self, group: int) -> Any:
        if group not in self._kept:
            while len(self._kept) >= KEPT_GROUPS:
                del self._kept[next(iter(self._kept))]
            with open_parquet(self.path) as file:
                self._kept[group] = self._read(file.read_row_group(group, columns=self.columns))
        return self._kept[group]

    @abstractmethod
    def _read(self, table: Any) -> Any:
        """What is kept of a row group."""


class ParquetRows(_Groups):
    """Numeric columns as a float32 matrix; nulls become NaN. Raises BadInput for columns that hold no numbers."""

    def __init__(self, path: str | Path, columns: Sequence[str] | None, besides: Sequence[str] = ()) -> None:
        super().__init__(path, columns, besides)
        for name in self.columns:
            if not _numeric(self._schema.field(name).type):
                raise BadInput(
                    f"{self.path}: column {name!r} holds {self._schema.field(name).type}, not numbers: "
                    "encode it, or pass columns=[…] without it"
                )

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(b, columns) float32."""
        batch = np.empty((len(rows), len(self.columns)), np.float32)
        for matrix, chosen, at in self._by_group(rows):
            batch[at] = matrix[chosen]
        return batch

    def _read(self, table: Any) -> np.ndarray:
        columns = [table.column(name).to_numpy() for name in self.columns]
        return np.stack([c.astype(np.float32) for c in columns], axis=1)


class ParquetFrame(_Groups):
    """Columns as a pandas DataFrame, of the types that pandas would read the whole file as: whole numbers with nulls
    anywhere are floats, and categories are those of all row groups. `words`: columns to be texts, whatever they hold.
    """

    kind = "frame"

    def __init__(self, path: str | Path, columns: Sequence[str] | None, words: Sequence[str] = ()) -> None:
        super().__init__(path, columns)
        self._words = words
        with open_parquet(self.path) as file:
            known = {name: _type_of_all(file, name) for name in self.columns}
        self._types = {name: dtype for name, dtype in known.items() if dtype is not None}

    def take(self, rows: np.ndarray) -> Any:
        import pandas

        parts = [(frame.iloc[chosen], at) for frame, chosen, at in self._by_group(rows)]
        if not parts:
            return self._group(0).iloc[:0]
        together = pandas.concat([part for part, _ in parts], ignore_index=True)
        return together.iloc[np.argsort(np.concatenate([at for _, at in parts]))].reset_index(drop=True)

    def _read(self, table: Any) -> Any:
        return in_words(as_frame(table, self.columns).astype(self._types), self._words)


def as_frame(table: Any, columns: Sequence[str]) -> Any:
    """Columns of an Arrow table as pandas reads them, but for the index, which is a column like others."""
    frame = table.to_pandas()
    return (frame if all(name in frame.columns for name in columns) else frame.reset_index())[
        list(columns)
    ].reset_index(drop=True)


def in_words(frame: Any, words: Sequence[str]) -> Any:
    """A DataFrame with some columns as texts."""
    import pandas

    return frame.assign(**{name: pandas.Series(as_texts(frame[name]), frame.index, "str") for name in words})


def _type_of_all(file: Any, name: str) -> Any:
    """The pandas type of a column over all row groups, where one of them may not tell it; else None."""
    import pandas
    from pyarrow import types

    kind = file.schema_arrow.field(name).type
    every = range(file.metadata.num_row_groups)
    if types.is_dictionary(kind):
        found: dict[Any, None] = {}
        for group in every:
            for chunk in file.read_row_group(group, columns=[name]).column(name).chunks:
                found |= dict.fromkeys(chunk.dictionary.drop_null().to_pylist())
        return pandas.CategoricalDtype(list(found), ordered=kind.ordered)
    if not (types.is_integer(kind) or types.is_boolean(kind)):
        return None
    told = file.schema_arrow.empty_table().to_pandas()[name].dtype  # pandas' own types hold nulls
    if not isinstance(told, np.dtype):
        return None
    if any(_has_nulls(file, group, name) for group in every):
        return np.dtype(np.float64) if types.is_integer(kind) else np.dtype(object)
    return None


def _has_nulls(file: Any, group: int, name: str) -> bool:
    about = file.metadata.row_group(group)
    for i in range(about.num_columns):
        told = about.column(i).statistics
        if about.column(i).path_in_schema == name and told is not None and told.has_null_count:
            return bool(told.null_count)
    return bool(file.read_row_group(group, columns=[name]).column(name).null_count)


def _numeric(kind: object) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))
