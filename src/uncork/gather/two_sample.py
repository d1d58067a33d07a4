"""Classifiers that tell rows of validation from rows of train.

What it gathers
---------------
One classifier for each of two folds, fitted on the other fold's inputs: is a row train's or validation's? It never sees
labels as inputs; rows are weighted so that within each class train and validation weigh the same, so that different
shares of classes are nothing to go by. Groups and exact copies, of either split, stay in one fold. The classifier is a
logistic regression on standardised columns and their absolute values: it sees where columns lie and how far they
spread. Boosting of 30 trees saw less of such shifts and took a hundred times as long.

How it streams
--------------
At most 4,000 rows of either split, a seeded sample, read in batches; beyond 4,096 columns a seeded sample of them.
Components of all columns would not do: what was blanked may vary too little to be among the first. Test is not read.

What it costs
-------------
Two small fits, each in a process of its own with one thread.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import encoder_of, matrix, sample, width
from uncork.gather._tree import eighths, together
from uncork.schema.artifacts import TwoSample, TwoSampleData
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator, integer_seed
from uncork.train.apart import tell_apart

MOST_ROWS, MOST_COLUMNS = 4_000, 4_096
WHO = "classifiers of rows"


def price(request: TwoSample, context: Context) -> float:
    """About 60 ns a value, fitted once."""
    train, validation = _splits(context)
    rows = min(len(train), MOST_ROWS) + min(len(validation), MOST_ROWS)
    return 1.0 + 6e-8 * rows * min(width(train, encoder_of(train, WHO)), MOST_COLUMNS)


@gatherer(TwoSample, price=price)
def gather(request: TwoSample, context: Context) -> TwoSampleData:
    try:
        train, validation = _splits(context)
        splits = {"train": train, "validation": validation}
        return told_apart(splits, context, y={name: split.y for name, split in splits.items()})
    except Unavailable as why:  # retrained models may tell of a shift without it
        none = np.zeros(0, np.int64)
        return TwoSampleData(np.zeros(0, np.float32), np.zeros(0, bool), none, none, none, 0.0, str(why))


def _splits(context: Context) -> tuple[Split, Split]:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: telling train from validation needs the rows themselves")
    return context.split("train"), context.split("validation")


def told_apart(
    splits: Mapping[str, Split],
    context: Context,
    *,
    y: Mapping[str, np.ndarray | None] | None = None,
    groups: Mapping[str, np.ndarray | None] | None = None,
) -> TwoSampleData:
    """Rows of the second of two `splits` told from the first's: within each class of `y`, or whatever the class.

    `groups`: names of rows that stay in one fold, in the splits' places where these have none of their own; default
    their own. Raises Unavailable where rows are too few, or no numbers.
    """
    seed, (first, second) = integer_seed(context.seed, "two-sample"), splits
    rows = {name: sample(split, MOST_ROWS, seed, name) for name, split in splits.items()}
    fitted = splits[first] if context.subject.train is None else context.subject.train
    encoder = encoder_of(fitted, WHO)
    wide = width(splits[first], encoder)
    columns = None if wide <= MOST_COLUMNS else np.sort(generator(seed, "columns").permutation(wide)[:MOST_COLUMNS])
    x = np.concatenate([matrix(split, name, rows[name], WHO, columns, encoder) for name, split in splits.items()])
    label = np.zeros(len(x), np.int64) if y is None else np.concatenate([_of(y[name], rows[name]) for name in splits])
    new = np.arange(len(x)) >= len(rows[first])
    names = {name: split.groups for name, split in splits.items()} if groups is None else groups
    clusters = together(Split(x, groups=_groups(names, rows)))
    strata = label if context.facts.task == "classification" else np.zeros(len(x), np.int64)
    fold = eighths(2 * strata + new, clusters, seed=seed, permutation=0) // 4

    weight = balance(strata, new, fold)
    for own in (0, 1):
        if not weight[fold == own].any():
            few = "rows" if y is None else "rows of one class"
            raise Unavailable(f"{first} and {second} have too few {few}, or too few groups, to tell apart")
    jobs = [(x[fold != own], new[fold != own], weight[fold != own], x[fold == own]) for own in (0, 1)]
    score, seconds = np.empty(len(x), np.float32), 0.0
    for own, (values, spent) in enumerate(context.fan(tell_apart, jobs)):
        score[fold == own] = values
        seconds += spent
    return TwoSampleData(score, new, fold, label, clusters, seconds)


def _of(y: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    assert y is not None
    labels: np.ndarray = y[rows]
    return labels


def _groups(names: Mapping[str, np.ndarray | None], rows: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Names of the rows' groups, which may lie in both splits; without groups each row is its own."""
    if all(given is None for given in names.values()):
        return None
    return np.concatenate(
        [
            [f"{name}'s row {row}" for row in rows[name]] if given is None else given[rows[name]].astype(str)
            for name, given in names.items()
        ]
    )


def balance(strata: np.ndarray, new: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(m,) weights by which train and validation weigh the same in each class and fold: 1 where they have equally many
    rows, 0 where only one of them has any."""
    cell = 2 * np.unique(strata, return_inverse=True)[1] + fold
    here, there = (np.bincount(cell[side], minlength=cell.max() + 1) for side in (new, ~new))
    both = 2 * here * there / np.maximum(here + there, 1)
    weight: np.ndarray = np.where(new, (both / np.maximum(here, 1))[cell], (both / np.maximum(there, 1))[cell])
    return weight
