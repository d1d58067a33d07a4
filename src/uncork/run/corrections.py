"""Corrections as they are given, and as a folder holds them: rows by "split:id", and rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from uncork.data.labels import class_indices, one_column
from uncork.data.named import Names
from uncork.data.tables import missing_column, read_table
from uncork.gather._contract import Context
from uncork.models.base import Model
from uncork.models.patched import Memory
from uncork.models.ruled import PREFIX, Rule
from uncork.schema.errors import BadInput
from uncork.schema.subject import SPLITS

CHANGE = "patch:"
NOTHING = f"{CHANGE} nothing corrected"


def names_of(context: Context, on: str | None) -> Names:
    """Of all rows; those of test so that they can be refused. `on`: the split in which plain ids are looked for."""
    subject = context.subject
    splits = {name: getattr(subject, name) for name in SPLITS if getattr(subject, name) is not None}
    if subject.test is subject.validation:
        del splits["test"]  # described on all of test: one split under two names
    return Names(splits, on)


def key_of(id: Any, names: Names, place: str) -> str:
    """ "split:id" of a row, or a rule as it was written. Raises BadInput, naming `place`, where it is neither."""
    return Rule.read(str(id)).text if str(id).startswith(PREFIX) else names.key(id, place)


def earlier(place: Path, model: Model) -> dict[str, int]:
    """The corrections that a folder holds, {key: class}; none where it holds no model. Raises BadInput where that is
    another one."""
    path = place / "treated" / "treated.json"
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text())
        spec, changes = about["model"], about["changes"]
        if not all(change.startswith(CHANGE) for change in changes):
            raise BadInput(f"{place} holds a model that treat kept: choose another folder with out= (--out)")
        if changes == [NOTHING]:
            return {}
        held: dict[str, int] = {}
        if spec["kind"] == "ruled":
            held = {str(text): int(label) for text, label in spec["rules"]}
            if spec["of"] == model.fingerprint():
                return held
            spec = spec["inner"]
        ours = spec["kind"] == "patched" and spec["of"] == model.fingerprint()
        memory = Memory.of_arrays(load((path.parent / spec["file"]).read_bytes())) if ours else None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(f"{path} is damaged ({error}): delete {place}, and correct anew") from error
    if memory is None:
        raise BadInput(f"{place} holds corrections of another model: choose another folder with out= (--out)")
    return held | dict(zip(memory.ids, memory.labels.tolist(), strict=True))


def read(given: Mapping[Any, Any] | str | Path, names: Names, context: Context) -> dict[str, int]:
    """{key: class} of corrections. Raises BadInput naming what is wrong with them."""
    if isinstance(given, Mapping):
        place, pairs = "corrections", list(given.items())
    else:
        place, table = str(given), read_table(given, texts=("id", "label"))
        for name in ("id", "label"):
            if name not in table.column_names:
                raise missing_column(given, name, table.column_names)
        pairs = list(zip(*(table.column(name).to_pylist() for name in ("id", "label")), strict=True))
    if not pairs:
        raise BadInput(f"{place} holds no correction: give an id and a label in each row")
    values = np.empty(len(pairs), object)  # NumPy would turn numbers among names into names
    values[:] = [label for _, label in pairs]
    column = one_column(values, "label", len(pairs), place=place)
    labels = class_indices(column, classes=context.facts.classes, n_outputs=context.model.n_outputs, place=place)
    read: dict[str, int] = {}
    for (id, _), label in zip(pairs, labels.tolist(), strict=True):
        key = key_of(id, names, place)
        if read.setdefault(key, label) != label:
            two = " and ".join(repr(context.facts.classes[k]) for k in (read[key], label))
            raise BadInput(f"{place}: {key} is corrected to {two}: say which it is")
    return read
