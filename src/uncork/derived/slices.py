"""Slices of classes on which a model errs more than on the rest: found on one half of the rows, tested on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.excess import excess
from uncork.schema.finding import Estimate
from uncork.stats.binomial import share
from uncork.stats.simultaneous import together

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

CLUSTERS = 6  # of a class
FEWEST = 10  # rows of a slice, in the half it is found in
MOST = 5  # slices that are tested
DIMENSIONS = 16
PLANTED, SIZE, SPOILT = 20, 0.03, 0.6


@dataclass(frozen=True, eq=False)
class Slice:
    """Rows of one class that lie together, `held` (n,). `label`: the class.

    `error`: share of its rows of the testing half that are wrong. `excess`: errors per 1,000 rows that would go if they
    were as often right as the rest of their class. Of each, with those of the other slices found, all hold together.
    """

    label: int
    held: Bool[np.ndarray, " n"]
    error: Estimate
    excess: Estimate


def clusters_of_classes(points: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " n"]:
    """(n,) the cluster of each row: six of each class by k-means, fewer of a class with fewer than 40 rows a cluster.

    −1 where a class has fewer than 80 rows. No error plays a part in them.
    """
    from sklearn.cluster import KMeans

    cluster, most = np.full(len(y), -1), 0
    for k in np.unique(y):
        rows = np.flatnonzero(y == k)
        parts = min(CLUSTERS, len(rows) // (4 * FEWEST))
        if parts < 2:
            continue
        cluster[rows] = most + KMeans(parts, n_init=1, random_state=seed).fit_predict(points[rows])
        most += parts
    return cluster


def slices(
    cluster: Int[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    y: Int[np.ndarray, " n"],
    finds: Bool[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
) -> list[Slice]:
    """At most five clusters with the most errors beyond their class's among the rows that `finds` marks, tested on the
    others. Sources: Chung et al., Slice finder, ICDE 2019; Eyuboglu et al., Domino, ICLR 2022.
    """
    found = []
    for c in range(cluster.max(initial=-1) + 1):
        held = cluster == c
        k = int(y[held][0])
        here, of_class = held & finds, (y == k) & finds
        beyond = float(wrong[here].sum() - wrong[of_class].mean() * here.sum()) if of_class.any() else 0.0
        if here.sum() >= FEWEST and (held & ~finds).sum() >= 2 and beyond > 0:
            found.append((beyond, c, k))
    found = sorted(found, key=lambda each: (-each[0], each[1]))[:MOST]
    gaps = together([_gap(wrong, cluster == c, y == k, ~finds, groups) for _, c, k in found])
    made = []
    for (_, c, k), gap in zip(found, gaps, strict=True):
        judged = (cluster == c) & ~finds
        error = share(wrong[judged], groups[judged], level=1 - 0.05 / len(found))
        made.append(Slice(k, cluster == c, error, gap))
    return made


def _gap(wrong: np.ndarray, held: np.ndarray, of_class: np.ndarray, judged: np.ndarray, groups: np.ndarray) -> Estimate:
    """Of the class's own rows, weighed by its share of all."""
    rows = of_class & judged
    gap = excess(wrong[rows], held[rows], clusters=groups[rows])
    return gap.scaled(float(rows.sum() / judged.sum()), "errors per 1,000")


def principal_components(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """The 16 directions in which rows differ most; all columns where there are fewer."""
    wide = points.astype(np.float64)
    wide -= wide.mean(axis=0)
    if wide.shape[1] <= DIMENSIONS:
        return wide
    directions = np.linalg.eigh(wide.T @ wide)[1]
    return np.asarray(wide @ directions[:, -DIMENSIONS:])


def planted_found(
    points: Float[np.ndarray, "n d"],
    cluster: Int[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    y: Int[np.ndarray, " n"],
    finds: Bool[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Estimate:
    """Share of twenty planted slices that are found and proven: each time the 3 % of all rows nearest to a random row
    of its class, six in ten of which become wrong. Found: a slice that surely errs more holds half of them."""
    size, hits = max(2 * FEWEST, round(SIZE * len(y))), []
    for _ in range(PLANTED):
        centre = int(rng.integers(len(y)))
        of_class = np.flatnonzero(y == y[centre])
        far = np.square(points[of_class] - points[centre]).sum(axis=1)
        planted = np.zeros(len(y), bool)
        planted[of_class[np.argsort(far, kind="stable")[:size]]] = True
        spoilt = wrong | (planted & (rng.random(len(y)) < SPOILT))
        proven = [s for s in slices(cluster, spoilt, y, finds, groups) if (s.excess.low or 0.0) > 0]
        hits.append(any((s.held & planted).sum() * 2 >= planted.sum() for s in proven))
    return share(np.array(hits), None).scaled(1, "share of planted slices")
