"""Description length of train's labels by families simpler than a net.

What it gathers
---------------
What each row of train costs in bits by a linear model and by small boosted trees of an eighth, a quarter and a half of
train that hold other rows. These are parts of the permutations that the pool's models are trained on: cut alike, groups
and exact copies together, and the same rows. Each permutation is used in both directions, by its first and its last
part of each size, so that every row is coded by some: 6 orders for the linear model, 2 for the trees, which cost more.

How it streams
--------------
It doesn't: train is read as one matrix of 32-bit floats, of up to 5,000 rows; with more nothing is fitted, as it would
cost too much. Beyond 256 columns their first 64 principal components stand for them; beyond 20 classes there are no
trees, which are grown for each class.

What it costs
-------------
18 linear fits and 6 of 30 trees a class, in this process, on one thread of it: no others are started for them.
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

from uncork.data.split import Split
from uncork.derived.description_length import BLOCKS, code
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import encoder_of, matrix, width
from uncork.gather._tree import eighths, rows_of, together
from uncork.schema.artifacts import CodeLength, CodeLengthData
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.train.rivals import COMPONENTS, SMALL_TREES, WIDE, fit_rival

MOST_ROWS, MOST_CLASSES = 5_000, 20
WHO = "simpler families"
PERMUTATIONS = {"linear": 3, "gbdt": 1}  # each in both directions
FITTED = {"linear": "linear", "gbdt": "small-gbdt"}


def price(request: CodeLength, context: Context) -> float:
    """A tree: 150 µs, 200 ns a row and 4 ns a value of train. Linear fits cost little beside them."""
    train = _train(context)
    rows, row, classes = len(train), width(train, encoder_of(train, WHO)), len(context.facts.classes)
    columns = COMPONENTS if row > WIDE else row
    linear = 0.4 + rows * (2e-8 * columns * classes + 3e-7 * row)
    fits = 2 * len(BLOCKS) * PERMUTATIONS["gbdt"] * (classes <= MOST_CLASSES)
    trees = fits * SMALL_TREES * (classes if classes > 2 else 1)
    return linear + trees * (1.5e-4 + rows * (2e-7 + 4e-9 * columns))


@gatherer(CodeLength, price=price)
def gather(request: CodeLength, context: Context) -> CodeLengthData:
    try:
        return _coded(_train(context), context)
    except Unavailable as why:  # the pool's models may tell of the width without it
        return CodeLengthData((), np.zeros((0, len(BLOCKS), 0), np.float32), (), str(why))


def _train(context: Context) -> Split:
    if context.facts.task != "classification":
        raise Unavailable("bits are of classes: a regression's targets have none")
    if not context.facts.has_inputs:
        raise Unavailable(f"only predictions were given: {WHO} need the rows themselves")
    train = context.split("train")
    if len(train) > MOST_ROWS:
        raise Unavailable(f"train has {len(train):,} rows: beyond {MOST_ROWS:,} {WHO} are not fitted")
    return train


def _coded(train: Split, context: Context) -> CodeLengthData:
    classes, seed = len(context.facts.classes), integer_seed(context.seed, "code-length")
    families = tuple(family for family in PERMUTATIONS if family == "linear" or classes <= MOST_CLASSES)
    x = matrix(train, "train", np.arange(len(train)), WHO, encoder=encoder_of(train, WHO))
    assert train.y is not None
    y, clusters = train.y, together(train)
    parts = _parts(y, clusters, context.seed)
    if min(len(np.unique(y[part])) for part in parts.values()) < 2:
        raise Unavailable(f"an eighth of train has rows of one class alone: {WHO} can't be fitted on it")
    plan = [
        (family, block, rows)
        for family in families
        for (permutation, block, _), rows in parts.items()
        if permutation < PERMUTATIONS[family]
    ]
    bits, counts = (np.zeros((len(families), len(BLOCKS), len(y))) for _ in range(2))
    seconds = np.zeros(len(families))
    with threadpool_limits(1):
        for family, block, rows in plan:
            unseen, at = np.setdiff1d(np.arange(len(y)), rows), (families.index(family), block)
            start = time.perf_counter()
            outputs, _ = fit_rival(FITTED[family], x[rows], y[rows], x[unseen], "classification", classes, seed)
            bits[at][unseen] += code(outputs, y[unseen], clusters[unseen], len(rows))
            seconds[at[0]] += time.perf_counter() - start
            counts[at][unseen] += 1
    left_out = "" if len(families) == len(PERMUTATIONS) else f"boosted trees: more than {MOST_CLASSES} classes"
    return CodeLengthData(families, (bits / counts).astype(np.float32), tuple(seconds.tolist()), left_out)


def _parts(y: np.ndarray, clusters: np.ndarray, seed: int) -> dict[tuple[int, int, int], np.ndarray]:
    """By permutation, block and part: the rows to fit on, of the first and the last part of each size."""
    parts = {}
    for permutation in range(max(PERMUTATIONS.values())):
        eighth = eighths(y, clusters, seed=seed, permutation=permutation)
        for block, (_, size) in enumerate(BLOCKS):
            for part in (0, size - 1):
                parts[permutation, block, part] = rows_of(eighth, size, part)
    return parts
