"""What a planted subject is made of, before its model is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from uncork import BadInput, Metric, Recipe, Split, Subject
from uncork.planted.data import DataSet
from uncork.planted.nets import MLP, SmallCNN
from uncork.schema.seeds import generator

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ground:
    """Rows, labels and recipe. Faults change it; `finish` changes the trained model, `serve` how rows are stored.

    `spare`: rows like train's that could still be had. `train_truth`, `test_truth`: the labels as they should be.
    """

    data: DataSet
    seed: int
    train: Rows
    validation: Rows
    test: Rows
    spare: Rows
    train_truth: np.ndarray
    test_truth: np.ndarray
    recipe: Recipe
    finish: Callable[[Any], Any] = lambda model: model
    serve: Callable[[np.ndarray], Any] = lambda x: x

    def rng(self, *key: str) -> np.random.Generator:
        """The random stream of one fault on this ground."""
        return generator(self.seed, "planted", self.data.name, *key)

    def fit(self, seed: int) -> Any:
        """A trained model, finished."""
        return self.finish(self.recipe.fit(Split(*self.train), seed=seed))

    def subject(self, model: Any, *, name: str | None = None, metric: str | Metric = "error") -> Subject:
        """The subject with this model; what it is not told is not in it."""
        train, validation, test = (Split(self.serve(x), y) for x, y in (self.train, self.validation, self.test))
        return Subject(
            model, train=train, validation=validation, test=test, recipe=self.recipe, metric=metric, name=name
        )

    def replace(self, **changes: Any) -> Ground:
        """A copy with some parts changed."""
        return replace(self, **changes)

    def trained_on(self, x: np.ndarray, y: np.ndarray, truth: np.ndarray) -> Ground:
        """The same with other rows of train, and as many epochs as make the steps what they were."""
        steps, per_epoch = self.recipe.steps(len(self.train[1])), math.ceil(len(y) / self.recipe.batch_size)
        recipe = self.recipe.replace(epochs=max(1, round(steps / per_epoch)))
        return self.replace(train=(x, y), train_truth=truth, recipe=recipe)


def lay(data: DataSet, seed: int) -> Ground:
    """A healthy ground: rows permuted and cut, none of them twice; tables and targets standardised by train's rows.

    Raises BadInput where there are too few rows for that.
    """
    rng = generator(seed, "planted", data.name)
    x, y = data.load()
    _, first = np.unique(x.reshape(len(x), -1), axis=0, return_index=True)
    x, y = x[np.sort(first)], y[np.sort(first)]
    order = rng.permutation(len(y))
    cuts = np.cumsum([data.train, data.validation, data.spare])
    if len(y) <= cuts[-1]:
        raise BadInput(f"{data.name} has {len(y)} different rows, and {cuts[-1]} are taken before test: ask for fewer")
    train, validation, spare, test = np.split(order, cuts)
    if data.kind == "table":
        centre, spread = x[train].mean(axis=0), x[train].std(axis=0)
        x = ((x - centre) / np.where(spread > 0, spread, 1)).astype(np.float32)
    if data.classes == 0:
        y = ((y - y[train].mean()) / y[train].std()).astype(np.float32)
    build: Callable[..., Any]
    if data.kind == "image":
        build = partial(SmallCNN, x.shape[-1], data.classes, channels=x.shape[1], dropout=data.dropout)
    else:
        build = partial(MLP, x.shape[1], max(1, data.classes), dropout=data.dropout)
    recipe = Recipe(build, epochs=data.epochs, batch_size=data.batch_size, lr=data.lr)
    test = test[: data.test]
    return Ground(
        data=data,
        seed=seed,
        train=(x[train], y[train]),
        validation=(x[validation], y[validation]),
        test=(x[test], y[test]),
        spare=(x[spare], y[spare]),
        train_truth=y[train],
        test_truth=y[test],
        recipe=recipe,
    )
