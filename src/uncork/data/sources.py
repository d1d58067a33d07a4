"""Where a split's rows come from: one small reader for each kind of data."""

from __future__ import annotations

import functools
import mmap
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from uncork.data.labels import one_column
from uncork.schema.errors import BadInput

Kind = Literal["array", "text", "frame", "dataset", "mapping"]

ACCEPTED = "a numpy array, torch tensor, memory map, map-style Dataset, list of str, DataFrame, or {name: array}"


class Source(ABC):
    """Rows that can be taken by position."""

    kind: ClassVar[Kind] = "array"
    #: What was converted or left out in reading, for the report.
    notes: tuple[str, ...] = ()
    #: Names of the classes that labels which are indices stand for, where the data tell.
    classes: tuple[str, ...] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, rows: np.ndarray) -> Any:
        """The rows at these positions, as a fresh batch."""

    def labels(self) -> np.ndarray | None:
        """Labels (n,) that come with the rows themselves."""
        return None


class Array(Source):
    """A numpy array in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._array[rows])


class MappedArray(Source):
    """A memory map, read through its file: pages touched in the mapping itself would stay resident."""

    def __init__(self, array: np.ndarray, path: str, offset: int) -> None:
        self._array, self._path, self._offset = array, path, offset

    def __len__(self) -> int:
        return len(self._array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        read = np.empty((len(rows), *self._array.shape[1:]), self._array.dtype)
        row_bytes = self._array.strides[0]
        starts = np.flatnonzero(np.diff(ordered, prepend=-2) != 1)
        with open(self._path, "rb", buffering=0) as file:
            for start, stop in zip(starts, np.append(starts[1:], len(rows)), strict=True):
                file.seek(self._offset + int(ordered[start]) * row_bytes)
                into = read[start:stop].reshape(-1).view(np.uint8)
                if file.readinto(into.data) != into.nbytes:
                    raise BadInput(f"Split: {self._path} ends before row {ordered[stop - 1]}: it was cut after opening")
        batch = np.empty_like(read)
        batch[order] = read
        return batch


class Tensor(Source):
    """A torch tensor, on any device."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor.detach()

    def __len__(self) -> int:
        return len(self._tensor)

    def take(self, rows: np.ndarray) -> np.ndarray:
        torch = sys.modules["torch"]
        batch = self._tensor[torch.from_numpy(rows).to(self._tensor.device)].cpu()
        return np.asarray(batch.float() if batch.dtype == torch.bfloat16 else batch)


class Texts(Source):
    """Strings."""

    kind = "text"

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def take(self, rows: np.ndarray) -> list[str]:
        return [self._texts[row] for row in rows]


class Frame(Source):
    """A pandas or polars DataFrame."""

    kind = "frame"

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def take(self, rows: np.ndarray) -> Any:
        return self._frame.iloc[rows] if hasattr(self._frame, "iloc") else self._frame[rows]


class Inputs(Source):
    """Several arrays with one row each for every row, for nets of several inputs."""

    kind = "mapping"

    def __init__(self, arrays: Mapping[Any, Any]) -> None:
        self._parts = {str(name): _numbers(f"x[{name!r}]", array) for name, array in arrays.items()}
        sizes = {name: len(part) for name, part in self._parts.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise BadInput(f"Split: the arrays of x differ in their number of rows ({told}): give one row each")

    def __len__(self) -> int:
        return len(next(iter(self._parts.values()), ()))

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: part.take(rows) for name, part in self._parts.items()}


class Dataset(Source):
    """A map-style dataset whose items are (x, y) or x; x may be a mapping of names to arrays where y stands beside."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "mapping" if isinstance(self._item(0)[0], Mapping) else "dataset"

    def __len__(self) -> int:
        return len(self._dataset)

    def take(self, rows: np.ndarray) -> Any:
        items = [self._item(int(row))[0] for row in rows]
        if items and isinstance(items[0], Mapping):
            return {str(name): _stacked([item[name] for item in items], rows, f"'s {name!r}") for name in items[0]}
        return _stacked(items, rows)

    def labels(self) -> np.ndarray | None:
        return self._labels

    @functools.cached_property
    def _labels(self) -> np.ndarray | None:
        first = self._item(0)[1]
        if first is None:
            return None
        for known in self._known_labels():
            # Datasets may change labels on the way out: what is stored counts only if the items agree with it.
            if len(known) == len(self) and np.array_equal(_to_array(known[0]), _to_array(first)):
                return one_column(known, "y", len(self))
        return one_column([_to_array(self._item(i)[1])[()] for i in range(len(self))], "y", len(self))

    def _known_labels(self) -> list[Any]:
        if getattr(self._dataset, "target_transform", None) is not None:
            return []
        tensors = getattr(self._dataset, "tensors", ())
        known = [getattr(self._dataset, name, None) for name in ("targets", "labels")]
        known += [tensors[1]] if isinstance(tensors, tuple) and len(tensors) == 2 else []
        return [values for values in known if hasattr(values, "__len__") and hasattr(values, "__getitem__")]

    def _item(self, row: int) -> tuple[Any, Any]:
        item = self._dataset[row]
        if isinstance(item, Mapping | str):
            raise BadInput(f"Split: the dataset's items are {type(item).__name__}s: let it return (x, y) or x")
        if not isinstance(item, tuple | list):
            return item, None
        if len(item) not in (1, 2):
            raise BadInput(f"Split: the dataset's items have {len(item)} parts: let it return (x, y) or x")
        return item[0], item[1] if len(item) == 2 else None


def as_source(x: Any) -> Source:
    """The reader for `x`. Raises BadInput that lists what is accepted."""
    torch = sys.modules.get("torch")
    if isinstance(x, Source):
        return x
    if torch is not None and isinstance(x, torch.Tensor) and x.ndim:
        return Tensor(x)
    if hasattr(x, "columns") and (hasattr(x, "iloc") or type(x).__module__.startswith("polars")):
        return Frame(x)
    if isinstance(x, Mapping):
        return Inputs(x)
    if isinstance(x, list | tuple) and x and all(isinstance(value, str) for value in x):
        return Texts(list(x))
    if isinstance(x, list | tuple) and not x:
        return Texts([])
    if hasattr(x, "iloc"):  # a pandas Series
        x = x.to_numpy()
    if isinstance(x, np.ndarray) and x.ndim:
        return _from_array(x)
    if not isinstance(x, np.ndarray | list | tuple | str) and all(
        hasattr(type(x), name) for name in ("__len__", "__getitem__")
    ):
        return Dataset(x)
    hint = "; of a DataLoader give its .dataset" if type(x).__name__ == "DataLoader" else ""
    raise BadInput(f"Split: x is {_named(x)}: give {ACCEPTED}{hint}")


def _numbers(place: str, x: Any) -> Source:
    """The reader for one array of a mapping."""
    try:
        source: Source | None = as_source(x)
    except BadInput:
        source = None
    if source is None or source.kind != "array":
        raise BadInput(f"Split: {place} is {_named(x)}: a mapping holds arrays of numbers, memory maps or tensors")
    return source


def _from_array(x: np.ndarray) -> Source:
    if x.dtype.kind in "OU":
        if x.ndim == 1 and all(isinstance(value, str) for value in x):
            return Texts(x.tolist())
        raise BadInput(f"Split: x is an array of {x.dtype} of shape {x.shape}: give numbers, or a list of str")
    backing = _backing_file(x)
    return Array(x) if backing is None else MappedArray(x, *backing)


def _backing_file(array: np.ndarray) -> tuple[str, int] | None:
    """Path and byte offset of a memory-mapped array or a view of one; None where its file can't stand in for it."""
    root: Any = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or not array.flags.c_contiguous or not array.nbytes:
        return None
    if root.mode == "c":  # changes made in memory are not in the file
        return None
    # A view keeps its parent's `.offset`, so the distance between the two addresses is what counts.
    distance = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return str(root.filename), int(root.offset) + distance


def _stacked(items: list[Any], rows: np.ndarray, of: str = "") -> np.ndarray:
    """One array of a dataset's items, the rows `rows`."""
    arrays = [_to_array(item) for item in items]
    odd = next((i for i, array in enumerate(arrays) if array.shape != arrays[0].shape), None)
    if odd is not None:
        raise BadInput(
            f"Split: the dataset's row {rows[0]}{of} has shape {arrays[0].shape} but row {rows[odd]}{of} has "
            f"{arrays[odd].shape}: resize or pad them to one shape in the dataset"
        )
    return np.stack(arrays)


def _to_array(value: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray(value.float() if value.dtype == torch.bfloat16 else value)
    return np.asarray(value)


def _named(x: Any) -> str:
    if isinstance(x, list | tuple) and x:
        return f"a {type(x).__name__} holding {type(x[0]).__name__}"
    return f"of type {type(x).__name__}"
