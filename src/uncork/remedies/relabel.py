"""Give train rows the label that the rest of train says, and train again.

What it does
------------
Takes labels that were given (`treat(evidence={"labels": {id: label}})`) to the letter. Without, it gives each row that
`drop-examples` would flag (by the same out-of-fold probabilities) its likeliest class, where that is given at least the
probability that rows of that class get on average; other rows keep their label. Then trains again by the recipe for the
same number of steps.

Why it helps
------------
A wrong label can only be learnt by heart, and what surrounds it pays; put right, the row teaches what it is.

Control
-------
The recipe on train as it is, from the same seeds and for as many steps. Changing as many labels at random would harm
by design, and make any remedy look good; so would training for longer, with the compute of the folds, on labels that
are wrong.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test. Labels that are made up from the
model's own probabilities are for training alone: look at the rows before they are written anywhere.

When it fails
-------------
Where the model fits badly most flags are its own mistakes, and it is taught them again. What it takes for another class
since that is more frequent is lost to the rarer one. Where two classes can't be told apart, leaving the rows out does
less harm. Wrong labels in validation hide part of the gain.

References
----------
Northcutt, Jiang & Chuang, Confident learning, JAIR 70, 2021 (the thresholds). Reed et al., Training deep neural
networks on noisy labels with bootstrapping, ICLR 2015 workshop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uncork.data.labels import class_indices, one_column
from uncork.data.split import Split
from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._flagged import FOLDS, probabilities
from uncork.remedies._recipe import again
from uncork.remedies._retrain import retrained
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.subject import Subject
from uncork.stats.confident import flag, thresholds

_PLACE = 'evidence["labels"]'


def corrected(given: Mapping[Any, Any], train: Split, classes: Sequence[str], task: str) -> np.ndarray:
    """(n,) train's labels with those given for some ids, as class indices, or as floats in a regression.

    Raises BadInput where an id is not one of train's, or a label none of the classes.
    """
    if not isinstance(given, Mapping):
        raise BadInput(f"{_PLACE} is of type {type(given).__name__}: give {{id: label}}")
    row = {str(id): number for number, id in enumerate(train.ids)}
    ids, y = [str(id) for id in given], np.array(train.y)
    for id in ids:
        if id not in row:
            raise BadInput(
                f"{_PLACE} holds {id!r}, which is no id of train: ids look like {next(iter(row))!r} (positions from 0 "
                "where the split has no ids of its own)"
            )
    if not ids:
        return y
    values = np.empty(len(ids), object)  # NumPy would turn numbers among names into names
    values[:] = list(given.values())
    labels = one_column(values, "labels", len(ids), place="evidence")
    if task == "classification":
        labels = class_indices(labels, classes=classes, place=_PLACE)
    elif labels.dtype.kind == "U":
        raise BadInput(f"{_PLACE} holds {labels[0].item()!r}: a regression takes numbers")
    y[[row[id] for id in ids]] = labels
    return y


def likelier(probability: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) the labels, with the likeliest class where a row is flagged and that class reaches its threshold."""
    likeliest = probability.argmax(axis=1)
    sure = probability[np.arange(len(y)), likeliest] >= thresholds(probability, y)[likeliest]
    return np.where(flag(probability, y) & sure, likeliest, y)


def price(subject: Subject, seeds: int) -> float:
    return FOLDS + 2.0 * seeds


@remedy(
    title="Give train rows the label that the rest says",
    safety="checked",
    yardstick="metric",
    control=again,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    train = case.subject.train
    needs_recipe(case.subject, "training on other labels (the finding's examples show which look wrong)")
    if "labels" in case.artifacts:
        y, how, searched = corrected(case.artifacts["labels"], train, case.classes, case.task), "as given", 0
    else:
        probability, searched = probabilities(case)
        y, how = likelier(probability, train.y), "by out-of-fold probabilities"
    changed = int((y != train.y).sum())
    if not changed:
        raise Unavailable(f"no label of train changes {how}")
    words = f"{changed} rows ({100 * changed / len(y):.1f} %) of train labelled anew, {how}"
    return retrained(case, words, compute=1.0 + searched, train=train.with_y(y), amount=changed)
