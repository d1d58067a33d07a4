"""A subject from files alone: a model's, and one of rows for each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uncork.data.encode import column_kind
from uncork.data.labels import listed
from uncork.data.pixels import SCALES, Pixels
from uncork.data.read import TABLES, column_names, read_split, table_split
from uncork.data.split import Split
from uncork.data.tables import missing_column
from uncork.models.adapt import _task_of
from uncork.models.load import load_model
from uncork.models.onnx_model import OnnxModel
from uncork.run.trust import trust, trusted
from uncork.schema.errors import BadInput
from uncork.schema.subject import SPLITS, Subject

_KIND_ROWS = 1000  # that tell what a column of texts holds
_WORDS = {"number": "numbers", "date": "dates", "category": "texts"}


def from_files(
    *,
    model: str,
    splits: Mapping[str, str],
    named: Mapping[str, str],
    columns: Sequence[str] | None,
    classes: Sequence[str] | None,
    metric: str | None,
    pixels: str | None,
    trust_pickle: bool,
    again: bool = False,
) -> Subject:
    """The model in a file, and its splits.

    `splits`: the path of each. `named`: of tables, the columns target, text, id, groups and time, as far as given.
    `metric`: default error, or rmse of a regression. `pixels`: how the model takes images, one of `SCALES`. `again`:
    the run was made before, so that a pickle is read only if it is the very file that was trusted then.
    Raises BadInput where something is absent, the columns of the tables differ, or images come without `pixels`.
    """
    if again and trust_pickle and Path(model).is_file() and not trusted(model):
        raise BadInput(
            f"{model} is not the file that was trusted when this run was made, or was not on this machine, so it was "
            "not read: if you trust it, audit it again with --trust-pickle"
        )
    loaded = load_model(model, trust_pickle=trust_pickle)
    if trust_pickle and not again:
        trust(model)
    tables = {name: Path(path) for name, path in splits.items() if Path(path).suffix in TABLES}
    read: dict[str, Any] = _aligned(tables, named, columns)
    form = _taken(loaded)
    for name in (name for name in splits if name not in tables):
        read[name] = read_split(splits[name], columns=columns, **named, **form)  # type: ignore[arg-type]
        form = form or _form(read[name])
    for name in SPLITS:
        if name in read and read[name].y is None:
            raise BadInput(f"{splits[name]} has no labels: name the column that holds them with --target")
    return Subject(
        loaded,
        metric=metric or _metric(loaded, read["test"]),
        classes=classes,
        preprocess=_preprocess(loaded, read["test"], pixels),
        name=Path(model).stem,
        **read,
    )


def _metric(model: Any, test: Split) -> str:
    """Of the task that the model says it does, else of that of the targets."""
    does, y = _task_of(model), test.y
    assert y is not None
    continuous = y.dtype.kind == "f" and bool((y != np.floor(y)).any())
    return "rmse" if does == "regression" or (does is None and continuous) else "error"


def _taken(model: Any) -> dict[str, Any]:
    """Size and mode of the images that an ONNX file takes, where it says so."""
    shape = _input_shape(model)
    if len(shape) != 4 or None in shape[1:]:
        return {}
    channels, *size = shape[1:] if _channels_first(model) else (shape[3], *shape[1:3])
    return {"size": tuple(size), "mode": "L" if channels == 1 else "RGB"}


def _form(split: Split) -> dict[str, Any]:
    """Size and mode of a split of images, which the others are read in too."""
    if not _images(split):
        return {}
    shape = split.take(np.arange(1)).shape[1:]
    return {"size": shape[:2], "mode": "RGB" if len(shape) == 3 else "L"}


def _images(split: Split) -> bool:
    one = split.take(np.arange(1))
    return isinstance(one, np.ndarray) and one.dtype == np.uint8 and (one.ndim == 3 or one.shape[3:] == (3,))


def _input_shape(model: Any) -> tuple[int | None, ...]:
    return model.inputs[0].shape if isinstance(model, OnnxModel) and len(model.inputs) == 1 else ()


def _channels_first(model: Any) -> bool:
    """As torch's nets take images, unless the model's file says otherwise."""
    shape = _input_shape(model)
    return not (len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3))


def _preprocess(model: Any, test: Split, pixels: str | None) -> Pixels | None:
    """Images as the model takes them; scikit-learn's estimators, and files that take bytes, get them as they are."""
    if not _images(test):
        if pixels is not None:
            raise BadInput("--pixels goes with images")
        return None
    as_they_are = not isinstance(model, torch.nn.Module)
    if isinstance(model, OnnxModel):
        as_they_are = all(each.dtype == np.uint8 for each in model.inputs)
    if pixels is None and not as_they_are:
        raise BadInput(f"images hold bytes, 0 to 255: say what the model takes with --pixels {', '.join(SCALES)}")
    return None if pixels is None else Pixels(pixels, channels_first=_channels_first(model))


def _aligned(tables: Mapping[str, Path], named: Mapping[str, str], columns: Sequence[str] | None) -> dict[str, Split]:
    """Tables with the same columns in the order of train's, and of the same kinds."""
    if not tables:
        return {}
    first = next((name for name in ("train", "test") if name in tables), next(iter(tables)))
    there = {name: column_names(path) for name, path in tables.items()}
    features = columns or [column for column in there[first] if column not in named.values()]
    read: dict[str, Split] = {}
    for name in (first, *(name for name in tables if name != first)):
        # Rows beside the model's own may come without labels, ids and the like.
        beside: dict[str, Any] = {w: c for w, c in named.items() if name in SPLITS or c in there[name] or w == "text"}
        beside.setdefault("target", None)
        for column in beside.values():
            if column is not None and column not in there[name]:
                raise missing_column(tables[name], column, there[name])
        if "text" not in named:
            if columns is None:
                own = [column for column in there[name] if column not in named.values()]
                _same_columns(tables[name], own, tables[first], features)
            beside["columns"] = features
        read[name] = table_split(tables[name], **beside)
        if "text" not in named and name != first:
            words = _told_apart(tables[name], read[name], tables[first], read[first])
            if words:
                read[name] = table_split(tables[name], **beside, words=words)
    return read


def _same_columns(path: Path, own: Sequence[str], reference: Path, features: Sequence[str]) -> None:
    lacking, more = ([c for c in a if c not in b] for a, b in ((features, own), (own, features)))
    if lacking or more:
        said = [f"lacks {listed(lacking)}"] if lacking else []
        said += [f"has {listed(more)} besides"] if more else []
        raise BadInput(
            f"{path} {' and '.join(said)}, of the columns of {reference}: rename them, or name those that the model "
            "takes with --columns a,b,c"
        )


def _told_apart(path: Path, split: Split, reference: Path, first: Split) -> list[str]:
    """Columns of numbers where the reference has numbers and texts: they are read as texts too.

    Raises BadInput where it is the other way round, or one has dates and the other not.
    """
    (ours, kinds), (theirs, wanted) = (_kinds(each) for each in (split, first))
    words = []
    for name in ours.columns:
        if kinds[name] == wanted[name] or "" in (kinds[name], wanted[name]):
            continue
        if (wanted[name], kinds[name]) == ("category", "number"):
            if not hasattr(theirs[name].dtype, "categories"):
                words.append(name)
            continue
        held = _odd(split, name, kinds[name])
        raise BadInput(
            f"{path}: column {name!r} holds {held}, but {_WORDS[wanted[name]]} in {reference}: give values "
            "of one kind in both, or leave the column out (--columns)"
        )
    return words


def _kinds(split: Split) -> tuple[Any, dict[str, str]]:
    """(some rows, what each column of theirs holds: "" where that can't be told)."""
    some = split.take(np.arange(min(len(split), _KIND_ROWS)))
    kinds: dict[str, str] = {}
    for name in some.columns:
        try:
            kinds[name] = column_kind(some[name], name) if some[name].notna().any() else ""
        except BadInput:  # lists and the like: the model's own affair
            kinds[name] = ""
    return some, kinds


def _odd(split: Split, name: str, kind: str) -> str:
    """The first value that is no number, and its row; else the kind."""
    import pandas

    for rows, batch in split.batches(_KIND_ROWS):
        column = batch[name]
        if kind == "category":
            odd = np.flatnonzero(column.notna() & pandas.to_numeric(column.astype(object), errors="coerce").isna())
            if len(odd):
                return f"{column.iloc[odd[0]]!r} in row {rows[odd[0]]}"
    return _WORDS[kind]
