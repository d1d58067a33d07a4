"""Tables of numbers, dates and categories as matrices of numbers; what is fitted is fitted on train alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from uncork.data.sources import Source
from uncork.data.split import Split
from uncork.schema.errors import BadInput, MissingExtra
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Kind = Literal["number", "date", "category"]

MOST = {"one-hot": 64, "ordinal": 250}  # categories of a column that are told apart; boosted trees take 255
_FITTED_ROWS, _FITTED_VALUES = 100_000, 2**25
_TRIED = 100  # texts of a column, by which dates are known
_DAY = 86_400 * 1e9  # nanoseconds
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T].*)?$")


class TableEncoder:
    """A pandas or polars DataFrame, or numbers (b, …), → (b, D) float32.

    `kind` "one-hot": numbers less their mean and over their standard deviation, what is missing or infinite 0, and a
    column that says so where train had any; a column per category, all 0 where it is unknown. "ordinal": numbers as
    they are, categories as codes from 0, NaN for what is missing or unknown. Dates are days since 1970. Beyond `MOST`
    categories of a column the rarest are one. Columns without any value in train are left out.

    `names`: of the D columns. `categorical`: which are codes of categories ("ordinal"). `kinds`: of the table's
    columns, by name. Calling it raises BadInput where a column is absent, or of another kind than in train.
    """

    def __init__(
        self, kind: str, kinds: dict[Any, Kind], numbers: Float[np.ndarray, "n d"], texts: np.ndarray, most: int
    ) -> None:
        from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

        self.kind, self.kinds = kind, kinds
        known = np.isfinite(numbers)
        self._kept: Int[np.ndarray, " k"] = np.flatnonzero(known.any(axis=0))
        self._flagged = self._kept[~known[:, self._kept].all(axis=0)] if kind == "one-hot" else self._kept[:0]
        self._centre, self._spread = np.zeros(len(self._kept)), np.ones(len(self._kept))
        if kind == "one-hot" and len(self._kept):
            scale = StandardScaler().fit(np.where(known, numbers, np.nan)[:, self._kept])
            self._centre, self._spread = scale.mean_, scale.scale_
        measured = [name for name, held in kinds.items() if held != "category"]
        self.names = [str(measured[i]) for i in self._kept] + [f"{measured[i]} is missing" for i in self._flagged]
        self._encoder: Any = None
        self.categories: dict[Any, list[str | float]] = {}  # as train has them
        if texts.shape[1]:
            if kind == "one-hot":
                self._encoder = OneHotEncoder(
                    handle_unknown="ignore", max_categories=most, sparse_output=False, dtype=np.float32
                )
            else:
                self._encoder = OrdinalEncoder(
                    handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=most
                )
            self._encoder.fit(texts)
            named = [name for name, held in kinds.items() if held == "category"]
            self.categories = {name: list(all_) for name, all_ in zip(named, self._encoder.categories_, strict=True)}
            self.names += self._category_names()
        coded = len(self.categories) if kind == "ordinal" else 0
        self.categorical: Bool[np.ndarray, " D"] = np.arange(len(self.names)) >= len(self.names) - coded

    @classmethod
    def fit(cls, split: Split, kind: str = "one-hot", *, most: int | None = None) -> TableEncoder:
        """Of train: of at most 100,000 rows of it, a seeded sample.

        Raises BadInput where rows are texts, a column holds neither numbers, dates nor categories, or two share a name.
        """
        if kind not in MOST:
            raise BadInput(f"TableEncoder: kind is {kind!r}: give one of {', '.join(MOST)}")
        if split.kind == "text":
            raise BadInput("x: rows are text, not a table: there are no columns to encode")
        rows = np.arange(len(split))
        limit = max(1, min(_FITTED_ROWS, _FITTED_VALUES // max(1, np.size(split.take(rows[:1])))))
        if len(rows) > limit:
            rows = np.sort(generator(0, "table-encoder").permutation(len(rows))[:limit])
        batch = split.take(rows)
        if isinstance(batch, np.ndarray):
            flat = batch.reshape(len(batch), -1)
            kinds: dict[Any, Kind] = {f"column {i}": "number" for i in range(flat.shape[1])}
            return cls(kind, kinds, flat.astype(np.float64), np.empty((len(rows), 0), object), 0)
        frame = as_pandas(batch)
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise BadInput(f"x: two columns are called {twice!r}: rename one")
        kinds = {name: column_kind(frame[name], name) for name in frame.columns}
        return cls(kind, kinds, _numbers(frame, kinds), _texts(frame, kinds), most or MOST[kind])

    def __call__(self, batch: Any) -> Float[np.ndarray, "b D"]:
        if not hasattr(batch, "columns") and hasattr(batch, "__array__"):  # tensors, as torch modules' batches come
            batch = np.asarray(batch)
        if isinstance(batch, np.ndarray):
            if self.categories or np.size(batch) != len(batch) * len(self.kinds):
                raise BadInput(
                    f"x has {batch.shape[1:]} numbers a row, but train has the columns {_listed(self.kinds)}"
                )
            numbers, texts = batch.reshape(len(batch), -1).astype(np.float64), np.empty((len(batch), 0), object)
        else:
            frame = as_pandas(batch)
            absent = [name for name in self.kinds if name not in frame.columns]
            if absent:
                raise BadInput(f"x: there is no column {_listed(absent)}, which train has: give the same columns")
            numbers, texts = _numbers(frame, self.kinds), _texts(frame, self.kinds)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        values = (numbers[:, self._kept] - self._centre) / self._spread
        parts = [values]
        if self.kind == "one-hot":
            parts = [np.nan_to_num(values, posinf=0, neginf=0), np.isnan(numbers[:, self._flagged])]
        if self._encoder is not None:
            parts.append(self._encoder.transform(texts))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _category_names(self) -> list[str]:
        if self.kind == "ordinal":
            return [str(name) for name in self.categories]
        names = []
        for (name, known), rare in zip(self.categories.items(), self._encoder.infrequent_categories_, strict=True):
            few = set() if rare is None else set(rare)
            shown = [text for text in known if text not in few]
            names += [f"{name} = {text}" if isinstance(text, str) else f"{name} is missing" for text in shown]
            names += [f"{name} is rare"] if few else []
        return names


class EncodedRows(Source):
    """The rows of a split as an encoder makes them: (b, D) float32."""

    def __init__(self, split: Split, encoder: TableEncoder) -> None:
        self._split, self._encoder = split, encoder

    def __len__(self) -> int:
        return len(self._split)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self._encoder(self._split.take(rows))


def as_pandas(frame: Any) -> Any:
    """A pandas DataFrame. Raises BadInput where the batch is no table, MissingExtra where pandas is needed for it."""
    if hasattr(frame, "iloc"):
        return frame
    if not hasattr(frame, "to_pandas"):
        raise BadInput(f"x: rows are of type {type(frame).__name__}, not a table: there are no columns to encode")
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise MissingExtra("tabular", "a table with categories") from None
    return frame.to_pandas()


def column_kind(column: Any, name: Any) -> Kind:
    """What a pandas column is read as; one of numbers and texts together is categories, one without values numbers.

    Raises BadInput where it holds lists, pictures or the like.
    """
    from pandas.api import types

    if isinstance(column.dtype, types.CategoricalDtype):
        return "category"
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return "number"
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        return "date"
    held = types.infer_dtype(column, skipna=True)
    if held in ("empty", "boolean", "integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    if held in ("date", "datetime", "datetime64"):
        return "date"
    known = column[column.notna()]
    if held == "string":
        return "date" if all(_DATE.match(text) for text in known.iloc[:_TRIED]) and _dates(known, name) else "category"
    odd = next((value for value in known if not isinstance(value, str | bytes | int | float | np.generic)), None)
    if odd is not None and not np.isscalar(odd) and hasattr(odd, "__len__"):
        raise BadInput(f"x: column {name!r} holds a {type(odd).__name__} a row: make columns of it, or leave it out")
    return "category"


def _dates(known: Any, name: Any) -> bool:
    try:
        _days(known, name)
    except BadInput:
        return False
    return True


def _numbers(frame: Any, kinds: dict[Any, Kind]) -> Float[np.ndarray, "b d"]:
    columns = [
        _days(frame[name], name) if held == "date" else _floats(frame[name], name)
        for name, held in kinds.items()
        if held != "category"
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _floats(column: Any, name: Any) -> Float[np.ndarray, " b"]:
    try:
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        first = next((value for value in column if isinstance(value, str)), column.dtype)
        raise BadInput(f"x: column {name!r} holds {first!r}, but numbers in train: give numbers, or nothing") from None
    return values


def _days(column: Any, name: Any) -> Float[np.ndarray, " b"]:
    """Since 1970, or of a span of time."""
    import pandas

    try:
        if pandas.api.types.is_timedelta64_dtype(column.dtype):
            days: np.ndarray = (column.dt.total_seconds() / 86_400).to_numpy(dtype=np.float64, na_value=np.nan)
            return days
        texts = pandas.api.types.infer_dtype(column, skipna=True) == "string"
        moments = pandas.to_datetime(column, utc=True, format="ISO8601" if texts else None)
        since = moments.dt.tz_localize(None).to_numpy("datetime64[ns]")
    except (TypeError, ValueError, OverflowError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(f"x: column {name!r} holds dates in train, but not here: {first}") from None
    return np.where(np.isnat(since), np.nan, since.astype(np.int64) / _DAY)


def _texts(frame: Any, kinds: dict[Any, Kind]) -> np.ndarray:
    """(b, c) str, NaN where it is missing."""
    columns = [as_texts(frame[name]) for name, held in kinds.items() if held == "category"]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0), object)


def as_texts(column: Any) -> np.ndarray:
    """(b,) of a pandas column: str, NaN where it is missing. 1, 1.0 and "1" are one category."""
    import pandas

    codes, values = pandas.factorize(column)
    texts = [str(int(v)) if isinstance(v, float | np.floating) and float(v).is_integer() else str(v) for v in values]
    named: np.ndarray = np.array([*texts, np.nan], object)[codes]  # missing is −1
    return named


def _listed(names: Sequence[Any] | dict[Any, Any], most: int = 8) -> str:
    shown = ", ".join(repr(str(name)) for name in list(names)[:most])
    return shown + (f", … ({len(names)} in all)" if len(names) > most else "")
