"""Cases on real digits: a small net, trained in a second or less, and its recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.remedies._contract import Case
from uncork.schema.seeds import generator

CaseOf = Callable[..., Case]


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


RECIPE = Recipe(build, epochs=30, batch_size=50, lr=1e-2)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture(scope="session")
def ground(digits: tuple[np.ndarray, np.ndarray]) -> Callable[..., Subject]:
    """(wrong: share of train's labels that are turned) → a trained subject of 500 rows a split, without test."""
    made: dict[float, Subject] = {}

    def make(wrong: float = 0.0) -> Subject:
        if wrong not in made:
            x, y = digits
            train = y[:500].copy()
            rng = generator(0, "turned")
            turned = rng.permutation(500)[: round(500 * wrong)]
            train[turned] = (train[turned] + rng.integers(1, 10, len(turned))) % 10
            split = Split(x[:500], train)
            validation = Split(x[500:1000], y[500:1000])
            model = RECIPE.fit(split, seed=0)
            made[wrong] = Subject(model, train=split, validation=validation, test=None, recipe=RECIPE)
        return made[wrong]

    return make


@pytest.fixture(scope="session")
def noisy(ground: Callable[..., Subject]) -> Subject:
    """A fifth of train's labels are another class."""
    return ground(0.2)


@pytest.fixture(scope="session")
def probability(noisy: Subject) -> np.ndarray:
    """Out-of-fold probabilities of a reference library."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import cross_val_predict

    x, forest = noisy.train.take(np.arange(500)), ExtraTreesClassifier(100, random_state=0)
    return cross_val_predict(forest, x, noisy.train.y, cv=4, method="predict_proba")


@pytest.fixture(scope="session")
def case_of() -> CaseOf:
    def make(
        subject: Subject, task: str = "classification", n_classes: int = 10, seed: int = 0, **artifacts: Any
    ) -> Case:
        return Case(subject, None, artifacts, task, n_classes, seed, generator(seed, "remedy"))

    return make
