"""Columns that stand beside the rows (labels, ids, groups), and class names turned into indices."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput


def one_column(values: Any, name: str, n: int, place: str = "Split") -> np.ndarray:
    """`values` as a 1-D array of `n` ints, floats or strings; booleans become 0 and 1.

    Raises BadInput where the length differs, or a value is missing or of another kind.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    column = np.asarray(values)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise BadInput(f"{place}: {name} has shape {column.shape}: give one value a row (argmax(1) of a one-hot y)")
    if len(column) != n:
        raise BadInput(f"{place}: x has {n} rows but {name} has {len(column)}: give one {name} for each row of x")
    if column.dtype == object:
        column = _from_objects(column, name, place)
    if column.dtype == bool:
        column = column.astype(np.int64)
    if column.dtype.kind not in "iufU":
        raise BadInput(f"{place}: {name} holds {column.dtype}: give ints, floats or strings")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise BadInput(f"{place}: {name} is {column[row]} in row {row}: leave out the rows that have no {name}")
    return column


def _from_objects(column: np.ndarray, name: str, place: str) -> np.ndarray:
    """Objects are allowed where they are all strings or all numbers."""
    text = [isinstance(value, str) for value in column]
    if all(text):
        return column.astype(str)
    number = [isinstance(value, int | float | np.number | np.bool_) for value in column]
    if all(number):
        return np.array(column.tolist())
    usual = number if sum(number) > sum(text) else text
    row = usual.index(False)
    raise BadInput(
        f"{place}: {name} holds {column[row]!r} in row {row}, which fits neither strings nor numbers: "
        "give every row a value of the same kind"
    )


def class_indices(
    y: np.ndarray, *, classes: Sequence[str] | None = None, n_outputs: int | None = None, place: str = "y"
) -> np.ndarray:
    """Labels (n,) as int64 class indices in the order of the model's outputs.

    Labels that are all names in `classes` go by name (so that 1…K with outputs named "1"…"K" is right), ints go by
    index; strings without `classes` are indexed in sorted order. Raises BadInput naming the first row that fits
    neither.
    """
    y = np.asarray(y)
    if y.dtype.kind == "f" and np.all(y == np.floor(y)):
        y = y.astype(np.int64)
    if y.dtype.kind == "f":
        row = int(np.flatnonzero(y != np.floor(y))[0])
        raise BadInput(f"{place} holds {y[row]} in row {row}, which is no class: give class indices, or metric='rmse'")
    if classes is None and y.dtype.kind == "U":
        classes = np.unique(y).tolist()
    count = n_outputs if n_outputs is not None else (len(classes) if classes is not None else int(y.max()) + 1)
    if classes is not None:
        values, inverse = np.unique(y, return_inverse=True)
        position = {str(name): i for i, name in enumerate(classes)}
        found = np.array([position.get(str(value), -1) for value in values], dtype=np.int64)[inverse]
        fits_index = (y >= 0) & (y < count) if y.dtype.kind != "U" else np.zeros(len(y), dtype=bool)
        if (found >= 0).all():
            y = found
        elif not fits_index.all():
            neither = np.flatnonzero((found < 0) & ~fits_index)
            row = int(neither[0]) if len(neither) else int(np.flatnonzero(found < 0)[0])
            raise BadInput(f"{place} holds {y[row].item()!r} in row {row}, but the classes are {listed(classes)}")
    wrong = np.flatnonzero((y < 0) | (y >= count))
    if len(wrong):
        raise BadInput(
            f"{place} holds class {y[wrong[0]]}, but the model has {count} outputs (0–{count - 1}): "
            "check the labels' offset"
        )
    return y.astype(np.int64)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in quotes, the first `most` of many."""
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown + (f", … ({len(names)} in all)" if len(names) > most else "")
