"""Rows of a Parquet file as a float32 matrix, read by row groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uncork.data.sources import Source
from uncork.data.tables import missing_column, open_parquet
from uncork.schema.errors import BadInput

KEPT_GROUPS = 2


class ParquetRows(Source):
    """The numeric columns of a Parquet file; at most two row groups are in memory. Nulls become NaN.

    `columns`: which, in order; None for all but `besides`. Raises BadInput for columns that are absent or no numbers.
    """

    def __init__(self, path: str | Path, columns: Sequence[str] | None, besides: Sequence[str] = ()) -> None:
        self.path = Path(path)
        with open_parquet(self.path) as file:
            schema = file.schema_arrow
            groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self.columns = [name for name in schema.names if name not in besides] if columns is None else list(columns)
        for name in (*besides, *self.columns):
            if name not in schema.names:
                raise missing_column(self.path, name, schema.names)
        for name in self.columns:
            if not _numeric(schema.field(name).type):
                raise BadInput(
                    f"{self.path}: column {name!r} holds {schema.field(name).type}, not numbers: "
                    "encode it, or pass columns=[…] without it"
                )
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(b, columns) float32."""
        batch = np.empty((len(rows), len(self.columns)), np.float32)
        groups = np.searchsorted(self._ends, rows, side="right")
        for group in np.unique(groups):
            here = groups == group
            matrix = self._group(int(group))
            batch[here] = matrix[rows[here] - (self._ends[group] - len(matrix))]
        return batch

    def _group(self, group: int) -> np.ndarray:
        if group not in self._kept:
            while len(self._kept) >= KEPT_GROUPS:
                del self._kept[next(iter(self._kept))]
            with open_parquet(self.path) as file:
                table = file.read_row_group(group, columns=self.columns)
            columns = [table.column(name).to_numpy() for name in self.columns]
            self._kept[group] = np.stack([c.astype(np.float32) for c in columns], axis=1)
        return self._kept[group]


def _numeric(kind: object) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))
