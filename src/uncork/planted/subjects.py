"""A healthy subject, and the same one with a fault that is known because it was put there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from uncork import BadInput, Recipe, Split, Subject
from uncork.planted.data import SETS
from uncork.planted.nets import Overconfident, SmallCNN
from uncork.schema.seeds import generator

#: Rows of train and of validation; the rest is test.
_SIZES = {"digits": (600, 600), "mnist-5k": (1000, 2000)}
_CLASSES = 10


@dataclass(frozen=True)
class Ground:
    """What a subject is made of, before the model is trained. Faults change it; `finish` changes the trained model."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    recipe: Recipe
    rng: np.random.Generator
    finish: Callable[[Any], Any] = lambda model: model


def wrong_labels(ground: Ground, share: float = 0.15) -> Ground:
    """A share of train's labels becomes another class, drawn at random."""
    x, y = ground.train
    flipped = ground.rng.permutation(len(y))[: round(share * len(y))]
    y = y.copy()
    y[flipped] = (y[flipped] + ground.rng.integers(1, _CLASSES, len(flipped))) % _CLASSES
    return replace(ground, train=(x, y))


def leaked_examples(ground: Ground, share: float = 0.1) -> Ground:
    """Copies of a share of validation and of test are added to train."""
    x, y = ground.train
    for split_x, split_y in (ground.validation, ground.test):
        rows = ground.rng.permutation(len(split_y))[: round(share * len(split_y))]
        x, y = np.concatenate([x, split_x[rows]]), np.concatenate([y, split_y[rows]])
    return replace(ground, train=(x, y))


def miscalibration(ground: Ground, factor: float = 3.0) -> Ground:
    """The trained net's logits are multiplied."""
    return replace(ground, finish=partial(Overconfident, factor=factor))


def lr_times_30(ground: Ground) -> Ground:
    """The recipe's learning rate is thirty times what it was."""
    return replace(ground, recipe=replace(ground.recipe, lr=30 * ground.recipe.lr))


def narrow_net(ground: Ground) -> Ground:
    """The net has an eighth of its channels."""
    narrow = partial(ground.recipe.build, width=1 / 8)
    return replace(ground, recipe=replace(ground.recipe, build=narrow))


FAULTS: dict[str, Callable[[Ground], Ground]] = {
    "wrong-labels": wrong_labels,
    "leaked-examples": leaked_examples,
    "miscalibration": miscalibration,
    "lr-times-30": lr_times_30,
    "narrow-net": narrow_net,
}


def planted(fault: str | None = None, *, data: str = "mnist-5k", seed: int = 0) -> Subject:
    """A small CNN on real digits, trained by its recipe, with one fault of `FAULTS` or none.

    `data`: "mnist-5k" (1,000 rows of train, 2,000 of validation, 2,000 of test) or "digits" (600, 600, 597).
    Raises BadInput for a fault or data set that there isn't.
    """
    if fault is not None and fault not in FAULTS:
        raise BadInput(f"there is no fault {fault!r} to plant: choose from {', '.join(FAULTS)}")
    if data not in SETS:
        raise BadInput(f"there is no data set {data!r}: choose from {', '.join(SETS)}")
    rng = generator(seed, "planted", data)
    x, y = SETS[data]()
    order = rng.permutation(len(y))
    a, b = np.cumsum(_SIZES[data])
    train, validation, test = ((x[rows], y[rows]) for rows in (order[:a], order[a:b], order[b:]))
    recipe = Recipe(partial(SmallCNN, x.shape[-1], _CLASSES), epochs=30, batch_size=50, lr=3e-3)
    ground = Ground(train, validation, test, recipe, rng)
    if fault is not None:
        ground = FAULTS[fault](ground)
    model = ground.finish(ground.recipe.fit(Split(*ground.train), seed=seed))
    return Subject(
        model,
        train=Split(*ground.train),
        validation=Split(*ground.validation),
        test=Split(*ground.test),
        recipe=ground.recipe,
        name=f"demo-{fault}" if fault else "demo",
    )
