"""Hugging Face datasets that were saved with save_to_disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.images import read_images
from uncork.data.sources import Source
from uncork.data.split import Split
from uncork.data.tables import column_values, missing_column
from uncork.schema.errors import BadInput, MissingExtra

_TARGETS = ("label", "labels")
_SEVERAL = "dataset_dict.json"


def from_disk(
    path: str | Path,
    *,
    split: str | None = None,
    target: str | None = None,
    text: str | None = None,
    id: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    size: int | tuple[int, int] | None = None,
    mode: str | None = None,
) -> Split:
    """A saved dataset as a Split, read from its memory-mapped files as rows are taken.

    x: the column `text` as strings; else the one column of images, as `image_folder` reads them (`size`, `mode`); else
    the one column that is neither target, `id`, `groups` nor `time`, where it holds strings or arrays of numbers of
    one shape; else all such columns as a DataFrame, missing values kept. `target`: default the column of class labels,
    where there is one, or "label" or "labels". Class labels are indices; their names are the split's `classes`; all
    of −1 are none. `split`: which of several, as is PATH/NAME.
    Only files under `path` are read, and nothing of the dataset is executed or fetched. Raises BadInput for a folder
    that holds no dataset, several of them, and columns that aren't there or can't be rows; MissingExtra without the
    library.
    """
    data, kinds, place = _loaded(path, split)
    target = _target(kinds) if target is None else target
    beside = {"y": target, "ids": id, "groups": groups, "times": time}
    named = {key: name for key, name in beside.items() if name is not None}
    for name in (*named.values(), *([text] if text else [])):
        if name not in kinds:
            raise missing_column(place, name, list(kinds))
    others = [text] if text else [name for name in kinds if name not in named.values()]
    source, kept = _source(data, kinds, others, place, text is not None, size, mode)
    columns = {key: _beside(data, name, place)[kept] for key, name in named.items()}
    if target is not None and kinds[target]["_type"] == "ClassLabel":
        if (columns["y"] == -1).all():
            del columns["y"]
        source.classes = tuple(kinds[target]["names"])
    return Split(source, **columns)


def _loaded(path: str | Path, split: str | None) -> tuple[Any, dict[str, Any], str]:
    """(the library's table, which is pickled as the names of its files; what each column holds; where it stands)."""
    folder = Path(path)
    if not folder.is_dir():
        raise BadInput(f"{path}: there is no such folder")
    if (folder / _SEVERAL).is_file():
        there = json.loads((folder / _SEVERAL).read_text())["splits"]
        if split is None or split not in there:
            raise BadInput(f"{path} holds the splits {', '.join(there)}: give one of them, such as {folder / there[0]}")
        folder = folder / split
    elif split is not None and folder.name != split:
        raise BadInput(f"{path} holds one dataset, not the split {split!r} of several: leave split out")
    try:
        from datasets import load_from_disk
    except ImportError:
        raise MissingExtra("huggingface", "reading a Hugging Face dataset") from None
    try:
        dataset = load_from_disk(str(folder.resolve()))
    except Exception as error:  # damaged JSON, Arrow files that are absent or cut
        raise BadInput(
            f"{folder} holds no dataset of save_to_disk that can be read: {str(error).splitlines()[0]}"
        ) from None
    return dataset.data, dataset.features.to_dict(), str(folder)


def _target(kinds: dict[str, Any]) -> str | None:
    labels = [name for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"] if kinds else []
    named = labels if len(labels) == 1 else [name for name in _TARGETS if name in kinds]
    return named[0] if named else None


def _source(
    data: Any, kinds: dict[str, Any], names: Sequence[str], place: str, as_text: bool, size: Any, mode: Any
) -> tuple[Source, np.ndarray]:
    """(the rows' reader, the positions of those that can be read)."""
    from pyarrow import types

    images = [name for name in names if kinds[name].get("_type") == "Image"]
    every = np.arange(data.num_rows)
    if len(images) == 1:
        files = _Files(data, images[0], place)
        return read_images(files, [f"row {i}" for i in every], place, size=size, mode=mode)
    if not names:
        raise BadInput(f"{place} has no column for x beside {', '.join(kinds)}: leave target, id, groups or time out")
    kind = data.schema.field(names[0]).type
    if as_text or (len(names) == 1 and _is_text(kind)):
        return _Texts(data, names[0], place), every
    if len(names) == 1 and not types.is_primitive(kind):
        return _Arrays(data, names[0], place), every
    return _Frames(data, names, kinds, place), every


class _Files:
    """The images of a column as bytes, or as paths of files."""

    def __init__(self, data: Any, name: str, place: str) -> None:
        self._data, self._name, self._place = data, name, place

    def __len__(self) -> int:
        return int(self._data.num_rows)

    def __getitem__(self, row: int) -> bytes | Path:
        cell = self._data.table.column(self._name)[int(row)].as_py() or {}
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        where = cell.get("path") or ""
        if "://" in where:
            raise BadInput(f"{self._place}: the image of row {row} is at {where}: save the dataset with its images")
        return Path(where)


class _Column(Source):
    """One column of a table."""

    def __init__(self, data: Any, name: str, place: str) -> None:
        self._data, self._name, self._place = data, name, place
        column = self._column
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise BadInput(f"{place}: column {name!r} has no value in row {row}: leave such rows out")

    @property
    def _column(self) -> Any:
        return self._data.table.column(self._name)

    def __len__(self) -> int:
        return int(self._data.num_rows)


class _Texts(_Column):
    kind = "text"

    def __init__(self, data: Any, name: str, place: str) -> None:
        super().__init__(data, name, place)
        if not _is_text(self._column.type):
            raise BadInput(f"{place}: column {name!r} holds {self._column.type}, not text: name another with text=")

    def take(self, rows: np.ndarray) -> list[str]:
        texts: list[str] = self._column.take(rows).to_pylist()
        return texts


class _Arrays(_Column):
    def take(self, rows: np.ndarray) -> np.ndarray:
        try:
            return np.array(self._column.take(rows).to_pylist(), dtype=np.float32)
        except (TypeError, ValueError):
            raise BadInput(
                f"{self._place}: column {self._name!r} holds {self._column.type}, not arrays of numbers of one shape: "
                "pad or leave it out, or name a column of strings with text="
            ) from None


class _Frames(Source):
    """Columns of a table as DataFrames."""

    kind = "frame"

    def __init__(self, data: Any, names: Sequence[str], kinds: dict[str, Any], place: str) -> None:
        from pyarrow import types

        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingExtra("tabular", "reading the columns of a table") from None
        self._data = data.select(list(names))
        self._classes = {name: kinds[name]["names"] for name in names if kinds[name].get("_type") == "ClassLabel"}
        self._gaps: list[str] = []
        for field in self._data.schema:
            if not (types.is_primitive(field.type) or _is_text(field.type)):
                raise BadInput(
                    f"{place}: column {field.name!r} holds {field.type}, which is no number, string or date: save the "
                    "dataset without it, or name a column of strings with text="
                )
            whole = types.is_integer(field.type) or types.is_boolean(field.type)
            if whole and self._data.table.column(field.name).null_count:
                self._gaps.append(field.name)

    def __len__(self) -> int:
        return int(self._data.num_rows)

    def take(self, rows: np.ndarray) -> Any:
        frame = self._data.table.take(rows).to_pandas()
        for name in self._gaps:  # floats in every batch, not only where one is missing
            frame[name] = frame[name].astype(np.float64)
        for name, names in self._classes.items():
            frame[name] = [names[int(value)] if value >= 0 else None for value in frame[name]]
        return frame


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _beside(data: Any, name: str, place: str) -> np.ndarray:
    """A column of labels, ids, groups, or times."""
    from pyarrow import types

    column = data.table.column(name)
    if types.is_timestamp(column.type) or types.is_date(column.type):
        return np.asarray(column.to_numpy(), "datetime64[ns]")
    return column_values(column, name, place)
