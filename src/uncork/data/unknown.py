"""Categories that train does not have."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.data.encode import as_pandas, as_texts, column_kind
from uncork.data.split import Split
from uncork.schema.errors import BadInput, Unavailable

_KIND_ROWS, _BATCH = 1000, 4096
_MOST = 10_000  # categories of a column; with more, or hardly fewer than rows, it holds ids or texts
_NAMED = 0.5
_SHOWN = 3


def unknown_categories(train: Split, split: Split) -> str | None:
    """How many rows of `split` have a category that train does not, by column and with examples; None where none has.

    Both are read once, batch by batch. Columns of ids or texts are passed over.
    """
    if train.kind != "frame" or split.kind != "frame":
        return None
    try:
        some = as_pandas(train.take(np.arange(min(len(train), _KIND_ROWS))))
        columns = [name for name in some.columns if some.columns.is_unique and _is_category(some[name], name)]
        found, rows = _unknown(split, _known(train, columns))
    except (KeyError, Unavailable):  # columns that differ, or no pandas: told where it matters
        return None
    if not rows:
        return None
    parts = []
    for name, new in found.items():
        if new:
            examples = ", ".join(repr(text) for text in list(new)[:_SHOWN]) + (", …" if len(new) > _SHOWN else "")
            parts.append(f"{name} (rows: {sum(new.values())}; {examples})")
    return f"{rows} of {len(split)} rows have a category that train does not: {', '.join(parts)}"


def _is_category(column: Any, name: Any) -> bool:
    try:
        return column_kind(column, name) == "category"
    except BadInput:  # lists and the like
        return False


def _known(train: Split, columns: list[Any]) -> dict[Any, set[Any]]:
    known: dict[Any, set[Any]] = {name: set() for name in columns}
    for _, batch in train.batches(_BATCH) if columns else ():
        frame = as_pandas(batch)
        for name, seen in known.items():
            if len(seen) <= _MOST:
                seen.update(as_texts(frame[name].dropna()))
    most = min(_MOST, _NAMED * len(train))
    return {name: seen for name, seen in known.items() if len(seen) <= most}


def _unknown(split: Split, known: dict[Any, set[Any]]) -> tuple[dict[Any, dict[str, int]], int]:
    """(by column: how many rows have each new category; how many rows have any)."""
    found: dict[Any, dict[str, int]] = {name: {} for name in known}
    rows = 0
    for _, batch in split.batches(_BATCH) if known else ():
        frame = as_pandas(batch)
        any_new = np.zeros(len(frame), bool)
        for name, seen in known.items():
            texts = as_texts(frame[name])
            new = np.array([isinstance(text, str) and text not in seen for text in texts], bool)
            any_new |= new
            for text in texts[new]:
                found[name][text] = found[name].get(text, 0) + 1
        rows += int(any_new.sum())
    return found, rows
