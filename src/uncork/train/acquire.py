"""Which rows to label next: orders of a pool of unlabelled rows, by what a model says of them, and models of these.

Strategies are pure functions of arrays and a generator; they return positions of rows, the one to label first first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from uncork.data.split import Split
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import BATCH, Model
from uncork.schema.seeds import generator
from uncork.schema.subject import Subject
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe

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


def bought(
    subject: Subject, classes: tuple[str, ...], start: np.ndarray, added: int, seed: int, further: int = 0
) -> dict[str, np.ndarray]:
    """Logits (v, K) on validation by a model of the rows in `start`, "start", and of those with what each strategy
    adds, by its name; with `further`, by "further", one of so many random rows, which hold those of "random".

    All take the steps of the recipe on all of train, from one seed.
    """
    train, validation = subject.train, subject.validation
    settings = {}
    if isinstance(subject.recipe, Recipe):
        settings = {"steps": subject.recipe.steps(len(train)), "preprocess": subject.preprocess}

    def model_of(rows: np.ndarray) -> Model:
        fitted = fit_any(subject.recipe, train.subset(rows), seed, **settings)
        model = as_model(fitted, "classification", preprocess=subject.preprocess, features=subject.features)
        model.outputs(train.take(rows[:1]))  # a torch module tells its number of outputs when it has run
        return aligned(model, classes)

    first, rest = model_of(start), np.setdiff1d(np.arange(len(train)), start)
    logits, features = answers(first, train.subset(rest))
    chosen = {name: choose(logits, features, added, generator(seed, name)) for name, choose in STRATEGIES.items()}
    if further:
        chosen["further"] = at_random(logits, features, further, generator(seed, "random"))
    made = {name: model_of(np.concatenate([start, rest[rows]])) for name, rows in chosen.items()}
    return {name: answers(model, validation)[0] for name, model in {"start": first, **made}.items()}


def answers(model: Model, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """(logits, features) of every row; the logits stand for features where the model has none."""
    outputs = [model.outputs(batch, features=True) for _, batch in split.batches(BATCH)]
    logits = np.concatenate([out.logits for out in outputs])
    features = [out.features for out in outputs if out.features is not None]
    return logits, np.concatenate(features) if len(features) == len(outputs) else logits
