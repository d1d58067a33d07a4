"""A model whose probabilities went through an isotonic regression."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from uncork.models.base import Model, from_probabilities
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput


class Isotonic(Wrapped):
    """`inner` with each class's probability mapped by its knots, and the sum of them made one: other decisions.

    `knots`: (x, y) of each class, of two classes those of the second alone; linear between them, constant beyond.
    `rows`: how many they were fitted on. What is mapped to less than 1 / (rows + 2) is given that, by Laplace's rule
    for what was never seen in so many, and as far from 1 it stays too; else one such row would cost all that was won.
    Raises BadInput where knots are no rising x with y in [0, 1], or not as many as there are classes.
    """

    called = "an isotonic map"

    def __init__(self, inner: Model, knots: Sequence[tuple[np.ndarray, np.ndarray]], rows: int) -> None:
        super().__init__(inner)
        needed = 1 if inner.n_outputs == 2 else inner.n_outputs
        if len(knots) != needed:
            raise BadInput(f"there are knots for {len(knots)} classes: give {needed} for {inner.n_outputs} classes")
        if rows < 1:
            raise BadInput(f"rows is {rows}: give how many rows the knots were fitted on")
        self.knots = tuple((np.asarray(x, np.float64), np.asarray(y, np.float64)) for x, y in knots)
        for k, (x, y) in enumerate(self.knots):
            if x.shape != y.shape or x.ndim != 1 or not len(x) or not (np.diff(x) > 0).all():
                raise BadInput(f"the knots of map {k} are no two lists of equal length, the first rising")
            if not ((y >= 0) & (y <= 1)).all():
                raise BadInput(f"the knots of map {k} lead outside [0, 1]: give shares of labels")
        self.rows = int(rows)
        digest = hashlib.blake2b(digest_size=8)
        for x, y in self.knots:
            digest.update(x.tobytes() + b"|" + y.tobytes() + b"|")
        count = sum(len(x) for x, _ in self.knots)
        self.told = {"isotonic": {"knots": count, "rows": self.rows, "hash": digest.hexdigest()}}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        p = softmax(logits.astype(np.float64), axis=1)
        at = [1] if len(self.knots) == 1 else range(p.shape[1])
        least = 1 / (self.rows + 2)
        mapped = np.stack([np.interp(p[:, k], x, y) for k, (x, y) in zip(at, self.knots, strict=True)], axis=1)
        mapped = np.clip(mapped, least, 1 - least)
        if len(self.knots) == 1:
            mapped = np.concatenate([1 - mapped, mapped], axis=1)
        return from_probabilities(mapped / mapped.sum(axis=1, keepdims=True))
