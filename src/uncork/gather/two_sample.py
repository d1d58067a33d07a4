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

import time

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import matrix, sample, width
from uncork.gather._tree import eighths, together
from uncork.schema.artifacts import TwoSample, TwoSampleData
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator, integer_seed

MOST_ROWS, MOST_COLUMNS = 4_000, 4_096
WHO = "classifiers of rows"
FAR = 5.0  # standard deviations, beyond which a value tells no more


def price(request: TwoSample, context: Context) -> float:
    """About 60 ns a value, fitted once."""
    train, validation = _splits(context)
    rows = min(len(train), MOST_ROWS) + min(len(validation), MOST_ROWS)
    return 1.0 + 6e-8 * rows * min(width(train), MOST_COLUMNS)


@gatherer(TwoSample, price=price)
def gather(request: TwoSample, context: Context) -> TwoSampleData:
    try:
        return _told_apart(*_splits(context), context)
    except Unavailable as why:  # retrained models may tell of a shift without it
        none = np.zeros(0, np.int64)
        return TwoSampleData(np.zeros(0, np.float32), np.zeros(0, bool), none, none, none, 0.0, str(why))


def _splits(context: Context) -> tuple[Split, Split]:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: telling train from validation needs the rows themselves")
    return context.split("train"), context.split("validation")


def _told_apart(train: Split, validation: Split, context: Context) -> TwoSampleData:
    seed, splits = integer_seed(context.seed, "two-sample"), {"train": train, "validation": validation}
    rows = {name: sample(split, MOST_ROWS, seed, name) for name, split in splits.items()}
    wide = width(train)
    columns = None if wide <= MOST_COLUMNS else np.sort(generator(seed, "columns").permutation(wide)[:MOST_COLUMNS])
    x = np.concatenate([matrix(split, name, rows[name], WHO, columns) for name, split in splits.items()])
    assert train.y is not None
    assert validation.y is not None
    y = np.concatenate([train.y[rows["train"]], validation.y[rows["validation"]]])
    new = np.arange(len(x)) >= len(rows["train"])
    clusters = together(Split(x, groups=_groups(splits, rows)))
    strata = y if context.facts.task == "classification" else np.zeros(len(y), np.int64)
    fold = eighths(2 * strata + new, clusters, seed=seed, permutation=0) // 4

    weight = balance(strata, new, fold)
    for own in (0, 1):
        if not weight[fold == own].any():
            raise Unavailable("train and validation have too few rows of one class, or too few groups, to tell apart")
    jobs = [(x[fold != own], new[fold != own], weight[fold != own], x[fold == own]) for own in (0, 1)]
    score, seconds = np.empty(len(x), np.float32), 0.0
    for own, (values, spent) in enumerate(context.fan(tell_apart, jobs)):
        score[fold == own] = values
        seconds += spent
    return TwoSampleData(score, new, fold, y, clusters, seconds)


def _groups(splits: dict[str, Split], rows: dict[str, np.ndarray]) -> np.ndarray | None:
    """Names of the rows' groups, which may lie in both splits; without groups each row is its own."""
    if all(split.groups is None for split in splits.values()):
        return None
    own = {name: [f"{name}'s row {row}" for row in rows[name]] for name in splits}
    return np.concatenate(
        [own[name] if split.groups is None else split.groups[rows[name]].astype(str) for name, split in splits.items()]
    )


def balance(strata: np.ndarray, new: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(m,) weights by which train and validation weigh the same in each class and fold: 1 where they have equally many
    rows, 0 where only one of them has any."""
    cell = 2 * np.unique(strata, return_inverse=True)[1] + fold
    here, there = (np.bincount(cell[side], minlength=cell.max() + 1) for side in (new, ~new))
    both = 2 * here * there / np.maximum(here + there, 1)
    weight: np.ndarray = np.where(new, (both / np.maximum(here, 1))[cell], (both / np.maximum(there, 1))[cell])
    return weight


def tell_apart(x: np.ndarray, new: np.ndarray, weight: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, float]:
    """((k,) log odds that a row of `fresh` is new, up to a constant; seconds). Runs in a process of its own."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    scale = StandardScaler().fit(_known(x))

    def features(rows: np.ndarray) -> np.ndarray:
        # What is missing lies at the mean, and nearer to it than values do.
        scaled = np.nan_to_num(np.clip(scale.transform(_known(rows)), -FAR, FAR))
        return np.concatenate([scaled, np.abs(scaled)], axis=1)

    fit = LogisticRegression(C=0.5 / x.shape[1], max_iter=50, tol=1e-3)
    fit.fit(features(x), new, sample_weight=weight)
    scores: np.ndarray = fit.decision_function(features(fresh)).astype(np.float32)
    return scores, time.perf_counter() - start


def _known(x: np.ndarray) -> np.ndarray:
    """Without what is infinite; columns without any value are 0."""
    known = np.isfinite(x)
    return np.where(known.any(axis=0), np.where(known, x, np.nan), 0.0)
