"""What lies on disk as a split: tables, folders of images, saved datasets, arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.parquet import ParquetFrame, as_frame, in_words
from uncork.data.sources import Frame, Source, Texts
from uncork.data.split import Split
from uncork.data.tables import column_values, missing_column, open_parquet
from uncork.schema.errors import BadInput, MissingExtra

TABLES = (".csv", ".parquet")
STREAMED = 2**28  # bytes of a Parquet file, unpacked, from which on it is read by row groups
_SAVED = ("dataset_info.json", "state.json", "dataset_dict.json")
_SHOWN = 2
_MIXED = 0.5  # share of numbers among texts from which on a column is called mixed


def read_split(
    path: str | Path,
    *,
    target: str | None = None,
    text: str | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    size: tuple[int, int] | None = None,
    mode: str | None = None,
) -> Split:
    """The rows of a .csv or .parquet table, an .npz file, a folder of images (a folder a class), or a dataset saved by
    Hugging Face's datasets.

    `target`, `id`, `groups`, `time`: the columns (arrays of .npz) that hold y, ids, groups and times; times are numbers
    or ISO dates. `columns`: the features; None for all others. `text`: the one column whose texts are the rows. `size`,
    `mode`: of images, as in `image_folder`.
    A table's rows are a pandas DataFrame as pandas reads the file, so that models find columns by name, with categories
    and missing values as they are; a Parquet file larger than 256 MB unpacked is read by row groups. What is worth
    telling of it is in `notes`.
    Raises BadInput for what isn't there or can't be read, and a missing target, id, group or time; MissingExtra
    without pandas.
    """
    path = Path(path)
    beside: dict[str, Any] = {"id": id, "groups": groups}
    if path.is_dir():
        if columns is not None:
            raise BadInput(f"{path} is a folder: columns are named of tables")
        if any((path / name).is_file() for name in _SAVED):
            from uncork.data.hugging import from_disk

            return from_disk(path, target=target, text=text, time=time, size=size, mode=mode, **beside)
        for what, name in (("target", target), ("text", text), ("time", time), *beside.items()):
            if name is not None:
                raise BadInput(f"{path} is a folder of images, whose classes are its folders: leave {what} out")
        from uncork.data.images import image_folder

        return image_folder(path, size=size, mode=mode)
    if path.suffix == ".npz":
        if text is not None or columns is not None:
            raise BadInput(f"{path} holds arrays: text and columns are named of tables")
        from uncork.data.npz import from_npz

        return from_npz(path, target=target or "y", time=time, **beside)
    return table_split(path, target=target, text=text, columns=columns, id=id, groups=groups, time=time)


def table_split(
    path: Path,
    *,
    target: str | None,
    text: str | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    words: Sequence[str] = (),
) -> Split:
    """`read_split` of a table; `words`: columns to be read as texts, whatever they look like."""
    besides = {"target": target, "id": id, "groups": groups, "time": time}
    named = [name for name in besides.values() if name is not None]
    there = column_names(path)
    if text is not None and columns is not None:
        raise BadInput(f"{path}: give columns, or the one column of texts, not both")
    for name in (*named, *(columns or ()), *([text] if text else ())):
        if name not in there:
            raise missing_column(path, name, there)
    if target is not None and target in (id, groups, time):
        raise BadInput(f"{path}: column {target!r} is the target, and can't name ids, groups or times as well")
    if target in (columns or ()) or (target is not None and target == text):
        raise BadInput(f"{path}: column {target!r} is the target, which no model may be given: leave it out of columns")
    # In a CSV file, names such as 007 are no numbers, and texts such as None are not missing.
    names = [name for name in (id, groups) if name is not None and name not in (columns or ()) and name != time]
    frame = _frame(path, [*words, *names] if path.suffix == ".csv" else words)
    if text is not None and path.suffix == ".csv":
        frame[text] = _read_csv(path, usecols=[text], dtype="str", keep_default_na=False, na_values=[""])[text]
    features = [name for name in there if name not in named] if columns is None else list(columns)
    if not features and text is None:
        raise BadInput(f"{path} has no column beside {', '.join(named)}: there is nothing to predict from")
    source: Source
    if text is not None:
        source = _texts(path, text, frame)
    elif frame is None:
        source = ParquetFrame(path, features, words)
    else:
        source = Frame(frame[features])
        source.notes = tuple(_mixed(frame, features))
    if not len(source):
        raise BadInput(f"{path}: the table has no rows: the split is empty")
    return Split(
        source,
        None if target is None else column_values(_column(path, target, frame), target, path),
        ids=None if id is None else _whole(column_values(_column(path, id, frame), id, path)),
        groups=None if groups is None else _whole(column_values(_column(path, groups, frame), groups, path)),
        times=None if time is None else _times(path, time, frame),
    )


def _whole(names: np.ndarray) -> np.ndarray:
    """Texts that are all whole numbers, as these are written, as ints."""
    if names.dtype.kind != "U" or not all(re.fullmatch(r"0|-?[1-9]\d{0,17}", name) for name in names):
        return names
    return names.astype(np.int64)


def column_names(path: Path) -> list[str]:
    """Of a table. Raises BadInput where it can't be read."""
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            return [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
    return [str(name) for name in _read_csv(path, nrows=0).columns]


def _frame(path: Path, words: Sequence[str]) -> Any:
    """All of a table as pandas reads it; None of one so large that it is streamed."""
    if path.suffix != ".parquet":
        return _read_csv(path, dtype=dict.fromkeys(words, "str"), low_memory=False)
    _pandas()
    with open_parquet(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > STREAMED:
            return None
        return in_words(as_frame(file.read(), column_names(path)), words)


def _read_csv(path: Path, **how: Any) -> Any:
    if path.suffix != ".csv":
        what = path.suffix or "a name without suffix"
        raise BadInput(
            f"{path}: rows are read from .csv, .parquet, .npz and folders of images or of a saved dataset, not {what}"
        )
    pandas = _pandas()
    try:
        frame = pandas.read_csv(path, **how)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except pandas.errors.EmptyDataError:
        raise BadInput(f"{path} is empty: give a table with a line of column names") from None
    except (ValueError, OSError) as error:  # pandas' own errors and those of encodings are ValueErrors
        raise BadInput(f"{path} can't be read as CSV: {str(error).strip().splitlines()[0]}") from error
    if not frame.index.equals(pandas.RangeIndex(len(frame))):  # pandas would take the first for row names
        raise BadInput(f"{path}: its lines hold more values than the first names columns: name each, or drop the rest")
    return frame


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingExtra("tabular", "reading tables") from None
    return pandas


def _column(path: Path, name: str, frame: Any) -> Any:
    """One column as Arrow has it."""
    import pyarrow

    if frame is not None:
        try:
            return pyarrow.chunked_array([pyarrow.Array.from_pandas(frame[name])])
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            kinds = sorted({type(value).__name__ for value in frame[name]})
            raise BadInput(f"{path}: column {name!r} holds {' and '.join(kinds)}: give values of one kind") from None
    with open_parquet(path) as file:
        return file.read(columns=[name]).column(name)


def _times(path: Path, name: str, frame: Any) -> np.ndarray:
    """(n,) numbers or datetime64. Raises BadInput where a row has none, or it is no date."""
    pandas = _pandas()
    column = _column(path, name, frame).to_pandas()
    absent = np.flatnonzero(column.isna())
    if len(absent):
        raise BadInput(f"{path}: column {name!r} has no value in row {absent[0]}: leave such rows out")
    if pandas.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column)
    moments = pandas.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    odd = np.flatnonzero(moments.isna())
    if len(odd):
        value = str(column.iloc[odd[0]])
        raise BadInput(
            f"{path}: column {name!r} holds {value!r} in row {odd[0]}: write dates like 2024-01-31, or numbers"
        )
    return np.asarray(moments.dt.tz_localize(None).to_numpy("datetime64[ns]"))


def _texts(path: Path, name: str, frame: Any) -> Texts:
    column = _column(path, name, frame).to_pandas()
    absent = column.isna()
    source = Texts(["" if gone else str(value) for value, gone in zip(column, absent, strict=True)])
    if absent.any():
        source.notes = (f"{int(absent.sum())} of {len(column)} rows have no text in column {name!r}: read as empty",)
    return source


def _mixed(frame: Any, features: Sequence[str]) -> list[str]:
    """Of columns that hold numbers in most rows and texts in others, which pandas reads as texts."""
    pandas, notes = _pandas(), []
    for name in features:
        column = frame[name].dropna()
        if not len(column) or pandas.api.types.infer_dtype(column) not in ("string", "mixed", "mixed-integer"):
            continue
        number = pandas.to_numeric(column, errors="coerce").notna()
        if number.mean() >= _MIXED and not number.all():
            rows = np.flatnonzero(~number.reindex(frame.index, fill_value=True))
            shown = ", ".join(f"{frame[name].iloc[row]!r} in row {row}" for row in rows[:_SHOWN])
            notes.append(f"column {name!r} holds numbers and texts ({shown}): read as categories")
    return notes
