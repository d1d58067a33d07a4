"""Decisions on rows whose one small part is another row's.

What it gathers
---------------
Of each part of a row (`uncork.stress.swaps`): where decisions go when it is taken from a row of a class that was not
decided; which rows decided wrong are right with the part of another row of their own class; both beside as much taken
elsewhere from the same rows. And what each part says by itself: the class of most of the 15 rows of 3,000 of train that
hold the most similar one. Of tables the columns themselves, standardised by the rows looked at.

How it streams
--------------
A seeded sample of at most 4,000 rows of validation, in batches; what is stored is 20 bytes for each row and part.

What it costs
-------------
Four forward passes of 400 rows for each part, of which a picture has 22 or 23, and four of the rows decided wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import encoder_of, matrix, sample, width
from uncork.models.base import is_frame
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.schema.shortcut_features import Shortcuts, ShortcutsData
from uncork.stress.swaps import Part, parts_of

REFERENCE = 3000
SHOWN = 256  # rows from which ranges and columns are read
PARTS = 23
WRONG = 0.2  # share of rows decided wrong that the price reckons with
_CHUNK = 500
_WIDEST = 400  # columns that slices are looked for in


def price(request: Shortcuts, context: Context) -> float:
    rows = min(len(context.split("validation")), request.rows)
    swapped = min(rows, request.swapped) + WRONG * rows
    return (rows + 2 * request.draws * PARTS * swapped) * context.seconds_per_row


@gatherer(Shortcuts, price=price)
def gather(request: Shortcuts, context: Context) -> ShortcutsData:
    if context.facts.task != "classification":
        raise Unavailable("a regression decides for no class: whose part it follows can't be told")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: parts are swapped in rows, for the model to decide")
    split = context.split("validation")
    assert split.y is not None
    rows = generator(context.seed, "shortcuts", "rows").permutation(len(split))[: request.rows]
    parts = parts_of(split.take(rows[:SHOWN]), _texts(context))
    asker = _Asker(context, split, rows)
    y, size = split.y[rows].astype(np.int64), min(request.swapped, len(rows))
    predicted = asker.decided(np.arange(len(rows)))
    wrong = np.flatnonzero(predicted != y)
    moved, mended = np.zeros((2, len(parts), size)), np.zeros((2, len(parts), len(rows)))
    for draw in range(request.draws):
        rng = generator(context.seed, "shortcuts", "donors", draw)
        other = _donors(y, predicted[:size], rng, same=False)
        own = _donors(y, y[wrong], rng, same=True, apart_from=wrong)
        there = other >= 0
        for c, part in enumerate(parts):
            for which, change in enumerate((part.swap, part.beside)):
                at = np.flatnonzero(there)
                decided = asker.decided(at, other[at], change, draw)
                moved[which, c, at] += (decided == y[other[at]]) / request.draws
                at = np.flatnonzero(own >= 0)
                decided = asker.decided(wrong[at], own[at], change, draw)
                mended[which, c, wrong[at]] += (decided == y[wrong[at]]) / request.draws
    groups = np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    columns, names = _table(context, split, rows)
    return ShortcutsData(
        names=tuple(part.name for part in parts),
        suspect=tuple(part.suspect for part in parts),
        rows=rows,
        clusters=groups[rows].astype(np.int64),
        y=y,
        predicted=predicted,
        moved=moved[0].astype(np.float32),
        moved_beside=moved[1].astype(np.float32),
        mended=mended[0].astype(np.float32),
        mended_beside=mended[1].astype(np.float32),
        says=_says(context, split, rows, parts),
        columns=columns,
        column_names=names,
    )


class _Asker:
    """The decisions of the model on rows, as they are or with a part of others."""

    def __init__(self, context: Context, split: Split, rows: np.ndarray) -> None:
        self.context, self.split, self.rows = context, split, rows

    def decided(
        self,
        at: np.ndarray,
        donors: np.ndarray | None = None,
        change: Callable[[Any, Any, int], Any] | None = None,
        draw: int = 0,
    ) -> np.ndarray:
        size, found = self.context.batch_size, [np.zeros(0, np.int64)]
        for start in range(0, len(at), size):
            part = slice(start, start + size)
            batch = self.split.take(self.rows[at[part]])
            if change is not None and donors is not None:
                batch = change(batch, self.split.take(self.rows[donors[part]]), draw)
            found.append(self.context.model.outputs(batch).logits.argmax(axis=1))
        return np.concatenate(found)


def _donors(
    y: np.ndarray, of: np.ndarray, rng: np.random.Generator, *, same: bool, apart_from: np.ndarray | None = None
) -> np.ndarray:
    """A random row of the class in `of`, or of any other class; −1 where there is none."""
    donors = np.full(len(of), -1)
    for k in np.unique(of):
        asking, there = np.flatnonzero(of == k), np.flatnonzero((y == k) == same)
        if len(there) > 1:
            drawn = there[rng.integers(len(there), size=len(asking))]
            if apart_from is not None:  # the row itself would say nothing
                itself = drawn == apart_from[asking]
                drawn[itself] = there[(np.searchsorted(there, drawn[itself]) + 1) % len(there)]
            donors[asking] = drawn
    return donors


def _says(context: Context, split: Split, rows: np.ndarray, parts: list[Part]) -> np.ndarray:
    """(c, m) the class that each row's part speaks for."""
    train: Split | None = context.subject.train
    said = np.full((len(parts), len(rows)), -1, np.int64)
    if train is None:
        return said
    known = sample(train, REFERENCE, context.seed, "shortcuts", "train")
    assert train.y is not None
    labels, reference = train.y[known].astype(np.int64), train.take(known)
    for start in range(0, len(rows), _CHUNK):
        batch = split.take(rows[start : start + _CHUNK])
        for c, part in enumerate(parts):
            said[c, start : start + _CHUNK] = part.says(batch, reference, labels)
    return said


def _texts(context: Context) -> tuple[list[str], np.ndarray] | None:
    """Texts of train and their classes, where rows are texts and there is train."""
    train: Split | None = context.subject.train
    if train is None or train.kind != "text":
        return None
    known = sample(train, REFERENCE, context.seed, "shortcuts", "train")
    assert train.y is not None
    return train.take(known), train.y[known].astype(np.int64)


def _table(context: Context, split: Split, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns of a table, encoded and standardised; none of other rows."""
    shown, none = split.take(rows[:2]), (np.zeros((len(rows), 0), np.float32), ())
    if not is_frame(shown) and (not isinstance(shown, np.ndarray) or shown.ndim != 2):
        return none
    try:
        encoder = encoder_of(context.subject.train or split, "slices")
        if width(split, encoder) > _WIDEST:
            return none
        values = matrix(split, "validation", rows, "slices", encoder=encoder).astype(np.float64)
    except Unavailable:
        return none
    values = np.nan_to_num(values)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    names = encoder.names if encoder else shown.columns if is_frame(shown) else range(values.shape[1])
    return scaled.astype(np.float32), tuple(name if isinstance(name, str) else f"column {name}" for name in names)
