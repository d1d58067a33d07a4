from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.schema.errors import BadInput
from uncork.train.folds import out_of_fold
from uncork.train.recipe import Recipe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


def logistic(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)


def test_each_row_comes_from_the_model_that_left_it_out():
    p = out_of_fold(logistic, Split(X, Y), k=4, seed=0, task="classification", n_classes=3)
    fold = folds(Split(X, Y), 4, 0, stratify=True)
    for number in range(4):
        held = fold == number
        expected = LogisticRegression().fit(X[~held], Y[~held]).predict_proba(X[held])
        np.testing.assert_allclose(p[held], expected, rtol=1e-4, atol=1e-6)
    names = np.array(["a", "b", "c"])[Y]
    np.testing.assert_array_equal(
        p, out_of_fold(logistic, Split(X, names), k=4, seed=0, task="classification", n_classes=3)
    )


def test_a_class_missing_from_a_fold_gets_no_probability():
    y = Y.copy()
    y[7] = 3  # the only one
    p = out_of_fold(logistic, Split(X, y), k=4, seed=0, task="classification", n_classes=4)
    assert p[7, 3] == 0
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_regression():
    y = X @ np.arange(4) + RNG.normal(size=120)
    p = out_of_fold(
        lambda train, seed: LinearRegression().fit(train.take(np.arange(len(train))), train.y),
        Split(X, y),
        k=3,
        seed=0,
        task="regression",
        n_classes=1,
    )
    fold = folds(Split(X, y), 3, 0, stratify=False)
    assert p.shape == (120, 1)
    held = fold == 1
    expected = LinearRegression().fit(X[~held], y[~held]).predict(X[held])
    np.testing.assert_allclose(p[held, 0], expected, rtol=1e-4)


def test_folds_take_the_steps_of_the_whole(monkeypatch):
    steps = []
    real = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: (steps.append(1), real(self)))
    recipe = Recipe(lambda: nn.Linear(4, 3), epochs=5, batch_size=10, lr=0.05)
    p = out_of_fold(recipe, Split(X, Y), k=3, seed=0, task="classification", n_classes=3, preprocess=lambda x: 3 * x)
    assert len(steps) == 3 * recipe.steps(120)
    assert (p.argmax(1) == Y).mean() > 0.7
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_errors():
    recipe = Recipe(lambda: nn.Linear(4, 2), epochs=1)
    for y, message in ((None, "train.y is absent"), (Y + 1, "train.y holds class 3, but the model has 3 outputs")):
        with pytest.raises(BadInput, match=message):
            out_of_fold(recipe, Split(X, y), k=3, seed=0, task="classification", n_classes=3)
    with pytest.raises(BadInput, match=r"4 outputs but train.y has 3 classes"):
        out_of_fold(
            Recipe(lambda: nn.Linear(4, 4), epochs=1), Split(X, Y), k=3, seed=0, task="classification", n_classes=3
        )
