"""Which rows to label next: orders of a pool of unlabelled rows, by what a model says of them.

All are pure functions of arrays and a generator; they return positions of rows, the one to label first first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Positions = Int[np.ndarray, " b"]

NEIGHBOURS = 20  # that make a row typical
MOST_CLUSTERS = 500


def at_random(
    logits: Float[np.ndarray, "n k"], features: Float[np.ndarray, "n d"], budget: int, rng: np.random.Generator
) -> Positions:
    """What every strategy has to beat."""
    return rng.permutation(len(logits))[:budget]


def margin(
    logits: Float[np.ndarray, "n k"], features: Float[np.ndarray, "n d"], budget: int, rng: np.random.Generator
) -> Positions:
    """Least difference between the two largest probabilities (Scheffer, Decomain & Wrobel, IDA 2001)."""
    two = np.partition(softmax(logits.astype(np.float64), axis=1), -2, axis=1)[:, -2:]
    return np.argsort(two[:, 1] - two[:, 0], kind="stable")[:budget]


def typical(
    logits: Float[np.ndarray, "n k"], features: Float[np.ndarray, "n d"], budget: int, rng: np.random.Generator
) -> Positions:
    """The most typical row of each of `budget` clusters, from the largest cluster down (TypiClust, Hacohen, Dekel &
    Weinshall, ICML 2022, without its regard for what is labelled already). Typical: near to its 20 neighbours.

    Beyond 500 clusters they are gone through again for their next most typical rows.
    """
    from sklearn.cluster import KMeans
    from sklearn.neighbors import NearestNeighbors

    x = features.astype(np.float64)
    clusters = min(budget, MOST_CLUSTERS, len(x))
    label = KMeans(clusters, n_init=1, random_state=int(rng.integers(2**31 - 1))).fit_predict(x)
    near = min(NEIGHBOURS, len(x) - 1)
    apart = NearestNeighbors(n_neighbors=near + 1).fit(x).kneighbors(x)[0][:, 1:].mean(axis=1) if near else np.zeros(1)
    order = np.argsort(apart, kind="stable")
    turn = np.empty(len(x), np.int64)  # how many rows of its cluster are more typical
    for c in range(clusters):
        own = order[label[order] == c]
        turn[own] = np.arange(len(own))
    size = np.bincount(label, minlength=clusters)[label]
    chosen: Positions = np.lexsort((label, -size, turn))[:budget]
    return chosen


def badge(
    logits: Float[np.ndarray, "n k"], features: Float[np.ndarray, "n d"], budget: int, rng: np.random.Generator
) -> Positions:
    """k-means++ seeds among the last layer's gradients at the likeliest label (BADGE, Ash et al., ICLR 2020).

    A row's gradient is (p − e) ⊗ features, whose distances need no (n, k · d) array. The first is the one of largest
    gradient.
    """
    p = softmax(logits.astype(np.float64), axis=1)
    p[np.arange(len(p)), p.argmax(axis=1)] -= 1
    x = features.astype(np.float64)
    square = (p**2).sum(axis=1) * (x**2).sum(axis=1)
    chosen = [int(square.argmax())]
    nearest = np.full(len(p), np.inf)
    while len(chosen) < min(budget, len(p)):
        last = chosen[-1]
        away = np.maximum(square + square[last] - 2 * (p @ p[last]) * (x @ x[last]), 0)
        nearest = np.minimum(nearest, away)
        nearest[chosen] = 0
        if not nearest.any():  # only copies are left
            rest = np.setdiff1d(np.arange(len(p)), chosen)
            return np.concatenate([chosen, rng.permutation(rest)])[:budget]
        chosen.append(int(rng.choice(len(p), p=nearest / nearest.sum())))
    return np.array(chosen)


Strategy = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
STRATEGIES: dict[str, Strategy] = {"random": at_random, "margin": margin, "typical": typical, "badge": badge}
