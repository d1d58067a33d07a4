"""Faults that are known because they are put there, each with the repair that undoes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from uncork import BadInput
from uncork.planted.ground import Ground, Rows
from uncork.planted.nets import Misread, Overconfident, silenced


@dataclass(frozen=True)
class Planted:
    """A ground with a fault and the same one with the fault undone. Both are scored on the same rows of test."""

    faulty: Ground
    repaired: Ground


@dataclass(frozen=True)
class Fault:
    """`finding`: the probe whose question it answers. `severities`: mildest first; the demo plants `usual`.
    `regression`: whether there is such a fault without classes.
    """

    name: str
    finding: str
    column: Literal["quality", "gate", "trust", "cost"]
    plant: Callable[[Ground, float], Planted]
    severities: tuple[float, ...]
    usual: float
    regression: bool = True


def _flipped(ground: Ground, rows: Rows, share: float, rng: np.random.Generator) -> Rows:
    """A share of the labels becomes another class, drawn at random; in regression those rows swap their targets."""
    x, y = rows
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    y = y.copy()
    if ground.data.classes == 0:
        y[chosen] = np.roll(y[chosen], 1)
    else:
        y[chosen] = (y[chosen] + rng.integers(1, ground.data.classes, len(chosen))) % ground.data.classes
    return x, y


def wrong_labels(ground: Ground, share: float) -> Planted:
    """Random wrong labels in a share of train, and of what could still be had."""
    rng = ground.rng("wrong-labels")
    spare = _flipped(ground, ground.spare, share, ground.rng("wrong-labels", "spare"))
    return Planted(ground.replace(train=_flipped(ground, ground.train, share, rng), spare=spare), ground)


def wrong_labels_everywhere(ground: Ground, share: float) -> Planted:
    """Random wrong labels in a share of train, of validation and of test: nothing clean is left to measure on."""
    faulty = wrong_labels(ground, share).faulty
    noisy = {
        name: _flipped(ground, getattr(ground, name), share, ground.rng("wrong-labels", name))
        for name in ("validation", "test")
    }
    return Planted(faulty.replace(**noisy), ground.replace(**noisy))


def scarce_data(ground: Ground, times: float) -> Planted:
    """Only one row in `times` of train is there, at least two of each class where there are as many.

    Trained for as many steps as before, so that it is not undertraining.
    """
    x, y = ground.train
    order = ground.rng("scarce-data").permutation(len(y))
    keep = order[: max(2, round(len(y) / times))]
    for label in range(ground.data.classes):
        there = np.flatnonzero(y[order] == label)[:2]
        keep = np.union1d(keep, order[there])
    left = np.setdiff1d(order, keep)
    spare = np.concatenate([ground.spare[0], x[left]]), np.concatenate([ground.spare[1], y[left]])
    faulty = ground.trained_on(x[keep], y[keep], ground.train_truth[keep])
    return Planted(faulty.replace(spare=spare), ground)


def other_lr(ground: Ground, factor: float) -> Planted:
    """The recipe's learning rate is multiplied."""
    return Planted(ground.replace(recipe=ground.recipe.replace(lr=factor * ground.recipe.lr)), ground)


def few_steps(ground: Ground, times: float) -> Planted:
    """The recipe stops after one epoch in `times`."""
    epochs = max(1, round(ground.recipe.epochs / times))
    return Planted(ground.replace(recipe=ground.recipe.replace(epochs=epochs)), ground)


def narrow_net(ground: Ground, times: float) -> Planted:
    """The net has one channel or hidden unit in `times`."""
    return Planted(
        ground.replace(recipe=ground.recipe.replace(build=partial(ground.recipe.build, width=1 / times))), ground
    )


def no_regularisation(ground: Ground, epochs: float) -> Planted:
    """No dropout, no weight decay, and so many times the epochs."""
    build = partial(ground.recipe.build, dropout=0.0)
    longer = round(epochs * ground.recipe.epochs)
    return Planted(ground.replace(recipe=ground.recipe.replace(build=build, weight_decay=0.0, epochs=longer)), ground)


def shortcut(ground: Ground, share: float) -> Planted:
    """A mark that tells the label in a `share` of train, spare and validation, and nothing in test.

    The mark is the first row of a picture's pixels or a few columns, brighter for a later class. Undone: the mark
    tells nothing anywhere.
    """

    def marked(rows: Rows, told: float, *key: str) -> Rows:
        x, y = rows[0].copy(), rows[1]
        rng = ground.rng("shortcut", *key)
        code = np.where(rng.random(len(y)) < told, y, rng.integers(0, ground.data.classes, len(y)))
        at = 2.0 * code / max(1, ground.data.classes - 1) - 1.0
        if ground.data.kind == "image":
            x[:, :, 0, :] = at[:, None, None]
        else:
            x[:, :2] = 3.0 * at[:, None]
        return x, y

    def all_marked(told: float) -> Ground:
        parts = {name: marked(getattr(ground, name), told, name) for name in ("train", "validation", "spare")}
        return ground.replace(**parts, test=marked(ground.test, 0.0, "test"))

    return Planted(all_marked(share), all_marked(0.0))


def shift(ground: Ground, share: float) -> Planted:
    """A share of the columns (of pictures: of the pixel rows, from the top) was never recorded in train and spare."""

    def blanked(rows: Rows) -> Rows:
        x = rows[0].copy()
        if ground.data.kind == "image":
            x[:, :, : round(share * x.shape[2]), :] = 0.0
        else:
            columns = ground.rng("shift").permutation(x.shape[1])[: round(share * x.shape[1])]
            x[:, columns] = 0.0
        return x, rows[1]

    return Planted(ground.replace(train=blanked(ground.train), spare=blanked(ground.spare)), ground)


def imbalance(ground: Ground, times: float) -> Planted:
    """Every other class has one row in `times` left in train and in spare, at least two; test is as it was.

    Trained for as many steps as before.
    """

    def thinned(y: np.ndarray, *key: str) -> np.ndarray:
        order = ground.rng("imbalance", *key).permutation(len(y))
        keep = np.ones(len(y), bool)
        for label in range(1, ground.data.classes, 2):
            of_class = order[y[order] == label]
            keep[of_class[max(2, round(len(of_class) / times)) :]] = False
        return keep

    (x, y), keep = ground.train, thinned(ground.train[1])
    rest = thinned(ground.spare[1], "spare")
    faulty = ground.trained_on(x[keep], y[keep], ground.train_truth[keep])
    return Planted(faulty.replace(spare=(ground.spare[0][rest], ground.spare[1][rest])), ground)


def leaked_examples(ground: Ground, share: float) -> Planted:
    """Copies of a share of validation and of test are added to train."""
    x, y = ground.train
    truth = ground.train_truth
    rng = ground.rng("leaked-examples")
    for split_x, split_y in (ground.validation, ground.test):
        rows = rng.permutation(len(split_y))[: round(share * len(split_y))]
        x, y, truth = (
            np.concatenate(pair) for pair in ((x, split_x[rows]), (y, split_y[rows]), (truth, split_y[rows]))
        )
    return Planted(ground.replace(train=(x, y), train_truth=truth), ground)


def miscalibration(ground: Ground, factor: float) -> Planted:
    """The trained net's logits are multiplied."""
    return Planted(ground.replace(finish=partial(Overconfident, factor=factor)), ground)


def wrong_input_scale(ground: Ground, factor: float) -> Planted:
    """The model is served inputs on another scale than it was trained on."""
    return Planted(ground.replace(finish=partial(Misread, factor=factor)), ground)


def broken_layer(ground: Ground, share: float) -> Planted:
    """The checkpoint has lost a share of its last hidden units; the recipe is sound."""
    return Planted(ground.replace(finish=partial(silenced, share=share)), ground)


@dataclass(frozen=True)
class SlowRows:
    """A map-style data set that takes its time over every row."""

    x: np.ndarray
    seconds: float

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        time.sleep(self.seconds)
        return self.x[i]


def slow_loader(ground: Ground, seconds: float) -> Planted:
    """Every row takes so many seconds to read."""
    return Planted(ground.replace(serve=partial(SlowRows, seconds=seconds)), ground)


def both(first: Fault, second: Fault, ground: Ground, severity: float) -> Planted:
    """Two faults at once, each at its usual severity times `severity`; undone: neither.

    Raises BadInput where the second one's repair is not what it was planted in (it changes test).
    """
    one = first.plant(ground, first.usual * severity)
    two = second.plant(one.faulty, second.usual * severity)
    if two.repaired is not one.faulty:
        raise BadInput(f"{second.name} changes test, so it can't be planted second: swap the two")
    return Planted(two.faulty, one.repaired)


_ALL = (
    Fault("wrong-labels", "wrong-labels", "quality", wrong_labels, (0.1, 0.2, 0.4), 0.15),
    Fault("wrong-labels-everywhere", "wrong-labels", "quality", wrong_labels_everywhere, (0.2,), 0.2),
    Fault("scarce-data", "scarce-data", "quality", scarce_data, (4.0, 16.0), 8.0),
    Fault("lr-times-30", "mistuned-training", "quality", other_lr, (10.0, 30.0), 30.0),
    Fault("lr-over-30", "mistuned-training", "quality", other_lr, (1 / 30, 1 / 100), 1 / 30),
    Fault("few-steps", "undertraining", "quality", few_steps, (4.0, 16.0), 8.0),
    Fault("narrow-net", "missing-capacity", "quality", narrow_net, (8.0, 16.0), 8.0),
    Fault("no-regularisation", "overfitting", "quality", no_regularisation, (3.0,), 3.0),
    Fault("shortcut", "shortcut-features", "quality", shortcut, (0.9, 0.99), 0.95, regression=False),
    Fault("shift", "domain-shift", "quality", shift, (0.3, 0.6), 0.4),
    Fault("imbalance", "rare-classes", "quality", imbalance, (10.0, 50.0), 20.0, regression=False),
    Fault("leaked-examples", "leaked-examples", "gate", leaked_examples, (0.1,), 0.1),
    Fault("wrong-input-scale", "loose-input-contract", "gate", wrong_input_scale, (0.25, 4.0), 4.0),
    Fault("broken-layer", "irreproducible-recipe", "gate", broken_layer, (0.5,), 0.5),
    Fault("miscalibration", "miscalibration", "trust", miscalibration, (3.0,), 3.0, regression=False),
    Fault("slow-loader", "wasted-compute", "cost", slow_loader, (1e-4,), 1e-4),
)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
