"""Batches on their way into an ONNX file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.models.base import frame_matrix, in_order, is_frame
from uncork.schema.errors import BadInput

TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(frozen=True)
class Input:
    """One input of a file. `shape`: of a batch, None where a size is free; () where even the axes are."""

    name: str
    dtype: Any
    shape: tuple[int | None, ...]

    @staticmethod
    def of(node: Any, file: str) -> Input:
        """From what onnxruntime tells of it. Raises BadInput for types that are no tensors of numbers or strings."""
        if node.type not in TYPES:
            raise BadInput(f"{file}: its input {node.name!r} is of type {node.type}: uncork gives tensors")
        shape = tuple(size if isinstance(size, int) else None for size in node.shape or ())
        return Input(node.name, np.dtype(TYPES[node.type]), shape)

    def filled(self, values: Any) -> np.ndarray:
        """An array of this type and these axes; pictures are flattened where rows are wanted flat.

        Raises BadInput where it can't be made without losing anything but decimals beyond the type's.
        """
        array = _array(values)
        if len(self.shape) == 2 and array.ndim != 2:
            array = array.reshape(len(array), -1)
        elif len(self.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        wanted = self.shape[1:]
        fits = len(array.shape) == len(self.shape) and all(
            size in (None, own) for size, own in zip(wanted, array.shape[1:], strict=True)
        )
        if self.shape and not fits:
            raise BadInput(
                f"x: rows of shape {tuple(array.shape[1:])} don't fit the input {self.name!r} of the file, which takes "
                f"{_shown(wanted)}: give rows as in training, or Subject(preprocess=…)"
            )
        return self._cast(array)

    def _cast(self, array: np.ndarray) -> np.ndarray:
        if self.dtype == np.object_:
            return np.array([_text(value) for value in array.ravel()], object).reshape(array.shape)
        if array.dtype == np.uint8 and array.ndim > 2 and self.dtype.kind == "f":
            raise BadInput(
                f"x holds uint8 values but the input {self.name!r} of the file takes {self.dtype}: "
                "give Subject(preprocess=lambda x: x.astype('float32') / 255), or what the model was trained on"
            )
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                cast = array.astype(self.dtype)
        except (TypeError, ValueError):
            raise BadInput(f"x: the input {self.name!r} of the file takes {self.dtype}, not {array.dtype}") from None
        if self.dtype.kind in "iub" and array.dtype.kind == "f" and not (cast == array).all():
            raise BadInput(
                f"x: the input {self.name!r} of the file takes whole numbers ({self.dtype}), and some are none"
            )
        return cast


def feeds(inputs: Sequence[Input], batch: Any) -> dict[str, np.ndarray]:
    """A batch, as `Split.take` or `preprocess` gives it, as {name of input: array}.

    Mappings and the columns of tables go by name, else in their order; a matrix of as many columns as there are inputs
    is shared out among them. Raises BadInput where that fits none.
    """
    if isinstance(batch, Mapping):
        parts = _matched(inputs, {str(name): part for name, part in batch.items()}, "its inputs are")
    elif len(inputs) == 1:
        only = inputs[0]
        if is_frame(batch):
            batch = _texts(batch) if only.dtype == np.object_ else frame_matrix(batch, np.float64)
        parts = {only.name: batch}
    elif is_frame(batch):
        parts = _matched(inputs, {str(name): batch[name].to_numpy() for name in batch.columns}, "its columns are")
    else:
        array = _array(batch)
        if array.ndim != 2 or array.shape[1] != len(inputs):
            raise BadInput(
                f"x: the file takes {_named(inputs)}, but rows have the shape {tuple(array.shape[1:])}: "
                "give x={name: array}, a DataFrame, or Subject(preprocess=…)"
            )
        parts = {each.name: array[:, i] for i, each in enumerate(inputs)}
    return {each.name: each.filled(parts[each.name]) for each in inputs}


def _matched(inputs: Sequence[Input], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """By name, as exporters write them too (my-column as my_column); else in order where the numbers agree."""
    by_name = {**{re.sub(r"\W", "_", name): part for name, part in given.items()}, **given}
    if all(each.name in by_name for each in inputs):
        return {each.name: by_name[each.name] for each in inputs}
    if len(given) == len(inputs) and isinstance(next(iter(given.values())), np.ndarray) and what == "its inputs are":
        ordered = in_order([each.name for each in inputs], given)
        return {each.name: part for each, part in zip(inputs, ordered, strict=True)}
    raise BadInput(
        f"x: {what} {', '.join(given)}, but the file takes {_named(inputs)}: give these names, or Subject(preprocess=…)"
    )


def _named(inputs: Sequence[Input]) -> str:
    return ", ".join(each.name for each in inputs)


def _shown(shape: tuple[int | None, ...]) -> str:
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def _array(values: Any) -> np.ndarray:
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.array(values, object) if isinstance(values, list) else np.asarray(values)


def _texts(frame: Any) -> np.ndarray:
    return np.stack([frame[name].to_numpy().astype(object) for name in frame.columns], axis=1)


def _text(value: Any) -> str:
    """A missing value, of whichever kind, is "nan", as converters of scikit-learn's encoders have it."""
    missing = value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
    return "nan" if missing else str(value)
