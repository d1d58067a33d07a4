"""Labels of rows from where the model is to be used next.

What it gathers
---------------
Of `shifted` with labels: all of those that may be measured (see `shifted`), or of k random rows where a budget of k
labels was stated. Of one without: the labels that were brought, or the ids of k random rows to label.

How it streams
--------------
It reads ids and labels, no rows. It is made anew in each run: of what is stored, nothing depends on it.

What it costs
-------------
Nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.labels import class_indices
from uncork.data.relabelled import read_relabelled
from uncork.gather._contract import Context, gatherer
from uncork.gather.relabelled import positions
from uncork.gather.shifted import measured
from uncork.schema.errors import BadInput
from uncork.schema.seeds import generator
from uncork.schema.shifted import ShiftedLabels, ShiftedLabelsData

FEWEST = 30


def settled(given: int | Mapping[Any, Any] | str | Path, context: Context) -> int | tuple[np.ndarray, np.ndarray]:
    """How many labels may be used, or (positions in shifted in order, class indices or targets) of those brought.

    Raises BadInput where it doesn't fit the subject.
    """
    shifted = context.subject.shifted
    if shifted is None:
        raise BadInput("labels are of rows of shifted, and none was given: give Subject(shifted=Split(x))")
    if isinstance(given, int):
        if isinstance(given, bool) or not FEWEST <= given <= len(shifted):
            raise BadInput(f"labels={given}: give a number of rows of shifted, from {FEWEST} to {len(shifted)}")
        return given
    if shifted.y is not None:
        raise BadInput("labels were brought, but shifted has its own: leave them out, or say how many to use, labels=k")
    ids, labels, place = read_relabelled(given, "labels")
    rows = positions(ids, shifted, place, "shifted")
    if len(ids) < FEWEST:
        raise BadInput(f"{place} holds {len(ids)} rows: label {FEWEST} or more, drawn at random, better 100")
    y = _values(labels, place, context)
    order = np.argsort(rows)
    return rows[order], y[order]


def _values(labels: np.ndarray, place: str, context: Context) -> np.ndarray:
    if context.facts.task == "classification":
        classes = context.facts.classes
        return class_indices(labels, classes=classes, n_outputs=len(classes), place=f"{place}: label")
    try:
        return labels.astype(np.float64)
    except ValueError:
        raise BadInput(f"{place}: label holds {str(labels[0])!r}, which is no number: give targets") from None


@gatherer(ShiftedLabels, price=lambda request, context: 0.0, stored=False)
def gather(request: ShiftedLabels, context: Context) -> ShiftedLabelsData:
    shifted, labels = context.split("shifted"), context.labels
    kind = np.int64 if context.facts.task == "classification" else np.float64
    if isinstance(labels, tuple):
        return ShiftedLabelsData(*labels, sampled=True, asked=())
    rows = measured(context)
    few = None if labels is None else generator(context.seed, "labels of shifted").permutation(rows)[:labels]
    if shifted.y is None:
        asked = () if few is None else tuple(str(id) for id in shifted.ids[few])
        return ShiftedLabelsData(np.zeros(0, np.int64), np.zeros(0, kind), sampled=True, asked=asked)
    chosen = rows if few is None else np.sort(few)
    return ShiftedLabelsData(chosen, shifted.y[chosen].astype(kind), sampled=len(chosen) < len(rows), asked=())
