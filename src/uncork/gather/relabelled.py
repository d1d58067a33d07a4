"""Rows of train that the user labelled anew, and which to label anew.

What it gathers
---------------
The rows that were brought with their new labels, and 150 rows of train drawn at random, each as likely as any other.

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
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.schema.artifacts import Relabelled, RelabelledData
from uncork.schema.errors import BadInput
from uncork.schema.seeds import generator

ASKED = 150
FEWEST = 30


def settled(given: Mapping[Any, Any] | str | Path, context: Context) -> tuple[np.ndarray, np.ndarray]:
    """(positions in train in their order, class indices). Raises BadInput where it doesn't fit the subject."""
    train = context.subject.train
    if context.facts.task != "classification":
        raise BadInput("rows are labelled anew with classes, and this is a regression: leave relabelled out")
    if train is None:
        raise BadInput("rows of train were labelled anew, and no train split was given: give Subject(train=...)")
    ids, labels, place = read_relabelled(given)
    rows = positions(ids, train, place, "train")
    if len(ids) < FEWEST:
        raise BadInput(f"{place} holds {len(ids)} rows: label {FEWEST} or more anew, drawn at random, better {ASKED}")
    classes = context.facts.classes
    y = class_indices(labels, classes=classes, n_outputs=len(classes), place=f"{place}: label")
    order = np.argsort(rows)
    return rows[order], y[order]


def positions(ids: np.ndarray, split: Split, place: str, name: str) -> np.ndarray:
    """Where in the split `name` rows stand whose ids, as text, `place` holds. Raises BadInput for one that isn't there,
    stands there twice, or is named twice."""
    known = split.ids.astype(str)
    names, first, times = np.unique(known, return_index=True, return_counts=True)
    _refuse(
        ids[~np.isin(ids, known)],
        place,
        f"which is no id of {name}: ids look like {str(known[0])!r} (positions "
        "from 0 where the split has no ids of its own)",
    )
    _refuse(names[(times > 1) & np.isin(names, ids)], place, f"which several rows of {name} have: give each its own")
    again = np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
    _refuse(ids[again], place, "twice: give one label for each row")
    rows: np.ndarray = first[np.searchsorted(names, ids)]
    return rows


def _refuse(ids: np.ndarray, place: str, why: str) -> None:
    if len(ids):
        raise BadInput(f"{place} holds the id {str(ids[0])!r}, {why}")


@gatherer(Relabelled, price=lambda request, context: 0.0, stored=False)
def gather(request: Relabelled, context: Context) -> RelabelledData:
    train, nothing = context.subject.train, np.zeros(0, np.int64)
    rows, labels = (nothing, nothing) if context.relabelled is None else context.relabelled
    asked: tuple[str, ...] = ()
    if train is not None and context.facts.task == "classification":
        drawn = generator(context.seed, "relabel").permutation(len(train))[:ASKED]
        asked = tuple(str(id) for id in train.ids[drawn])
    return RelabelledData(rows, labels, asked)
