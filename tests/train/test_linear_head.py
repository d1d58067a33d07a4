"""Heads: against scikit-learn, classes without rows, and that training on begins where the head is."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import nn

from uncork import Recipe, Split
from uncork.models.base import Output
from uncork.models.on_features import OnFeatures, as_encoder, features_of
from uncork.schema.errors import BadInput, Unavailable
from uncork.train.linear_head import RIDGE, USUAL, HeadRecipe, fit_head

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(90, 6)) * [1, 10, 0.1, 1, 1, 0]).astype(np.float32)
Y = (X[:, 0] + 0.1 * X[:, 1] > 0).astype(np.int64) + (X[:, 3] > 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learns_on_standardised_features(classes: int) -> None:
    y = np.minimum(Y, classes - 1)
    weight, bias = fit_head(X, y, classes, 0)
    reference = LogisticRegression(C=USUAL, max_iter=500).fit(scaled := StandardScaler().fit_transform(X), y)
    logits = X @ weight.T + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p / p.sum(axis=1, keepdims=True), reference.predict_proba(scaled), atol=5e-3)


def test_a_regressions_is_ridge() -> None:
    y = X @ np.arange(6) + RNG.normal(size=90)
    weight, bias = fit_head(X, y, 0, 0)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_allclose((X @ weight.T + bias)[:, 0], RidgeCV(RIDGE).fit(scaled, y).predict(scaled), atol=1e-3)


def test_a_class_without_rows_is_never_answered() -> None:
    weight, bias = fit_head(X, np.minimum(Y, 1), 4, 0)
    assert set((X @ weight.T + bias).argmax(axis=1)) == {0, 1}
    alone = fit_head(X[:5], np.full(5, 2), 4, 0)
    assert set((X @ alone[0].T + alone[1]).argmax(axis=1)) == {2}


def test_training_on_starts_at_the_head_and_moves_the_encoder() -> None:
    torch.manual_seed(0)
    module = nn.Linear(6, 8)
    encoder = as_encoder(module, None)
    train, recipe = Split(X, Y), Recipe(partial(nn.Linear, 6, 3), epochs=1, batch_size=30, lr=1e-9)
    frozen = HeadRecipe("classification", 3, encoder)(train, 0)
    still = HeadRecipe("classification", 3, encoder, recipe)(train, 0)
    np.testing.assert_allclose(still.outputs(X).logits, frozen.outputs(X).logits, atol=1e-4)
    before = module.weight.clone()
    moved = HeadRecipe("classification", 3, encoder, recipe.replace(lr=1.0))(train, 0)
    assert not np.allclose(moved.encoder.features(X), frozen.encoder.features(X), atol=1e-2)
    assert torch.equal(module.weight, before)  # the user's own is left as it is


def test_an_encoder_is_a_modules_output_or_a_models_features() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    plain = features_of(as_encoder(module, lambda x: 2 * x), Split(X))
    with torch.inference_mode():
        np.testing.assert_allclose(plain, module(2 * torch.from_numpy(X)).numpy(), atol=1e-6)
    head = OnFeatures(None, np.eye(6)[:2], np.zeros(2), task="classification")
    np.testing.assert_array_equal(features_of(as_encoder(head, None), Split(X)), X)
    with pytest.raises(BadInput, match="of type int: give a torch"):
        as_encoder(3, None)
    with pytest.raises(BadInput, match="NaN or inf"):
        as_encoder(module, lambda x: x / 0).features(X)
    with pytest.raises(BadInput, match="6 features, but the head takes 4"):
        OnFeatures(None, np.eye(4), np.zeros(4), task="classification").outputs(X)
    with pytest.raises(Unavailable, match="no features"):
        as_encoder(_Blind(), None).features(X)


class _Blind(OnFeatures):
    """A model that shows no features."""

    def __init__(self) -> None:
        super().__init__(None, np.eye(6)[:2], np.zeros(2), task="classification")

    def outputs(self, batch: np.ndarray, features: bool = False) -> Output:
        return super().outputs(batch, False)
