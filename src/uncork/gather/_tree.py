"""Which rows of train each model of the pool gets: halves, quarters and eighths of permutations, nested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uncork.data.split import Split
from uncork.gather.fingerprints import hash_rows
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Int

EIGHTHS = 8
_STRATA = 10  # of a regression's targets, equally many rows in each


def together(train: Split) -> Int[np.ndarray, " n"]:
    """(n,) which rows stay on one side of every cut: those of a group, exact copies, and what these link."""
    n = len(train)
    copies = np.unique(hash_rows(train), axis=0, return_inverse=True)[1].ravel()
    if train.groups is None:
        return copies.astype(np.int64)
    groups = np.unique(train.groups, return_inverse=True)[1]
    links = coo_array((np.ones(n), (copies, copies.max() + 1 + groups)), shape=2 * (copies.max() + groups.max() + 2,))
    _, component = connected_components(links, directed=False)
    return np.unique(component[copies], return_inverse=True)[1].astype(np.int64)


def repeated(train: Split, other: Split) -> float:
    """Share of the rows of `other` that also stand in train."""
    known, asked = (hash_rows(split).view("V16").ravel() for split in (train, other))
    return float(np.isin(asked, known).mean())


def eighths(y: np.ndarray, clusters: np.ndarray, *, seed: int, permutation: int) -> Int[np.ndarray, " n"]:
    """(n,) the eighth (0…7) of each row. Half h of it is eighths 4h … 4h + 3, quarter q is 2q and 2q + 1.

    Clusters are dealt in a random order, class by class (in a regression by tenths of the target), large ones first:
    each goes to the part that is the shortest of its kind. Parts of equal clusters differ by one cluster at most.
    """
    rng = generator(seed, "pool", "permutation", permutation)
    _, first, which, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    stratum = _strata(y)[first]
    order = np.lexsort((rng.random(len(sizes)), -sizes, stratum))
    if sizes.max() == 1:
        # Dealing in turn, from where the stratum before ended, is the same and takes no loop.
        part = np.empty(len(sizes), np.int64)
        part[order] = np.arange(len(sizes)) % EIGHTHS
    else:
        part = _dealt(order, sizes, stratum, rng)
    return rng.permutation(EIGHTHS)[part][which]


def _strata(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind != "f":
        return np.unique(y, return_inverse=True)[1]
    rank = np.argsort(np.argsort(y, kind="stable"), kind="stable")
    return rank * _STRATA // max(len(y), 1)


def _dealt(order: np.ndarray, sizes: np.ndarray, stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    part = np.empty(len(sizes), np.int64)
    total = np.zeros(EIGHTHS)
    own: dict[int, np.ndarray] = {}
    for cluster in order:
        filled = own.setdefault(int(stratum[cluster]), np.zeros(EIGHTHS))
        # Ties are broken by the rows of all strata, then by chance.
        chosen = np.lexsort((rng.random(EIGHTHS), total, filled))[0]
        part[cluster] = chosen
        filled[chosen] += sizes[cluster]
        total[chosen] += sizes[cluster]
    return part


def rows_of(eighth: np.ndarray, size: int, part: int) -> Int[np.ndarray, " k"]:
    """Positions of the rows in part `part` of `size` parts (1, 2, 4 or 8)."""
    return np.flatnonzero(eighth // (EIGHTHS // size) == part)


def balanced(rows: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
    """`rows` with those of rarer classes repeated until each class is as frequent as the most frequent."""
    label = y[rows]
    most = int(np.bincount(label).max())
    chosen = []
    for c in np.unique(label):
        own = rows[label == c]
        chosen += [np.tile(own, most // len(own)), rng.permutation(own)[: most % len(own)]]
    return np.concatenate(chosen)
