"""What the model makes of rows from where it is to be used next.

What it gathers
---------------
The model's outputs on `shifted`, without labels; which of its rows and of validation's have the same id, where both
splits have ids; and classifiers that tell shifted from validation by inputs alone (see `two_sample`), each pair of rows
with one id in one fold. Where shifted has labels, so that remedies can be judged on it, the third of its rows that is
kept to prove them (see `data/thirds.py`) is not read; of a subject that is only described, of rows without labels, and
of too few to be cut in three, all are.

How it streams
--------------
A batch at a time; about two bytes a class and row are kept, and 4,000 rows of either split for the classifiers.

What it costs
-------------
One forward pass over shifted, and two small fits.
"""

from __future__ import annotations

import numpy as np

from uncork.data.split import Split
from uncork.data.thirds import thirds
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import width
from uncork.gather.forward import forward
from uncork.gather.two_sample import MOST_COLUMNS, MOST_ROWS, told_apart
from uncork.schema.artifacts import TwoSampleData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.shifted import Shifted, ShiftedData


def price(request: Shifted, context: Context) -> float:
    """The pass, and about 60 ns a value of what classifiers are fitted to."""
    shifted, validation = context.split("shifted"), context.split("validation")
    rows = min(len(shifted), MOST_ROWS) + min(len(validation), MOST_ROWS)
    fits = 1.0 + 6e-8 * rows * min(width(validation), MOST_COLUMNS) if context.facts.has_inputs else 0.0
    return len(shifted) * context.seconds_per_row + fits


@gatherer(Shifted, price=price)
def gather(request: Shifted, context: Context) -> ShiftedData:
    shifted, rows = context.split("shifted"), measured(context)
    blank = np.zeros(len(shifted), np.int64 if context.facts.task == "classification" else np.float64)
    passed = forward(context.model, shifted.with_y(blank), rows=rows, batch_size=context.batch_size, name="shifted")
    pairs, clusters = _linked(context.split("validation"), shifted)
    return ShiftedData(
        task=passed.task,
        logits=passed.logits,
        predicted=passed.predicted,
        answered=passed.answered,
        rows=rows,
        clusters=clusters[rows],
        pairs=pairs[np.isin(pairs[:, 0], rows)],
        told=_told(context, shifted.subset(rows)),
        size=len(shifted),
    )


def measured(context: Context) -> np.ndarray:
    """Positions of the rows of shifted that are read before a remedy is proven, in order."""
    shifted, subject = context.split("shifted"), context.subject
    if shifted.y is None or subject.test is subject.validation:
        return np.arange(len(shifted))
    try:
        return np.setdiff1d(np.arange(len(shifted)), thirds(shifted).prove)
    except BadInput:  # no remedy can be proven on them
        return np.arange(len(shifted))


def _linked(validation: Split, shifted: Split) -> tuple[np.ndarray, np.ndarray]:
    """((p, 2) positions in shifted and validation of rows with one id; (n,) clusters, numbered on from validation's).

    Ids that several rows have, and positions, name no row.
    """
    pairs = np.zeros((0, 2), np.int64)
    if validation.has_ids and shifted.has_ids:
        own, theirs = (_named_once(split.ids.astype(str)) for split in (shifted, validation))
        pairs = np.array([(row, theirs[name]) for name, row in own.items() if name in theirs], np.int64).reshape(-1, 2)
    if shifted.groups is not None:
        known = np.zeros(0, str) if validation.groups is None else np.unique(validation.groups).astype(str)
        named = shifted.groups.astype(str)
        numbers = {str(name): i for i, name in enumerate([*known, *np.setdiff1d(named, known)])}
        first = 0 if validation.groups is not None else len(validation)
        return pairs, first + np.array([numbers[name] for name in named], np.int64)
    clusters = len(validation) + np.arange(len(shifted))
    if validation.groups is None:
        clusters[pairs[:, 0]] = pairs[:, 1]
    else:
        clusters[pairs[:, 0]] = np.unique(validation.groups, return_inverse=True)[1][pairs[:, 1]]
    return pairs, clusters


def _named_once(ids: np.ndarray) -> dict[str, int]:
    names, first, times = np.unique(ids, return_index=True, return_counts=True)
    return {str(name): int(row) for name, row, n in zip(names, first, times, strict=True) if n == 1}


def _told(context: Context, shifted: Split) -> TwoSampleData:
    validation = context.split("validation")
    splits = {"validation": validation, "shifted": shifted}
    groups = {name: split.groups for name, split in splits.items()}
    if all(split.groups is None and split.has_ids for split in splits.values()):
        groups = {name: split.ids for name, split in splits.items()}
    try:
        if not context.facts.has_inputs:
            raise Unavailable("only predictions were given: telling rows apart needs the rows themselves")
        return told_apart(splits, context, groups=groups)
    except Unavailable as why:  # the model's own answers tell of a shift without it
        none = np.zeros(0, np.int64)
        return TwoSampleData(np.zeros(0, np.float32), np.zeros(0, bool), none, none, none, 0.0, str(why))
