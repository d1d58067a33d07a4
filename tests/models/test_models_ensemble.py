"""Ensemble: the mean of what its members say, and members that don't belong together are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from uncork import Split, Subject
from uncork.models.adapt import adapt, as_model
from uncork.models.base import Model
from uncork.models.ensemble import Ensemble
from uncork.models.temperature import Tempered
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def estimator(columns: int = 4, y: np.ndarray = Y) -> Model:
    return as_model(LogisticRegression().fit(X * (np.arange(4) < columns), y), "classification")


def net(seed: int = 0, outputs: int = 3) -> Model:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, outputs))
    return as_model(module, "classification" if outputs > 1 else "regression")


def stated(model: Model) -> np.ndarray:
    return softmax(model.outputs(X).logits.astype(float), axis=1)


@pytest.mark.parametrize("weights", [None, [0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
def test_it_states_the_mean_of_probabilities(weights: Any) -> None:
    members = [estimator(), net(), net(1)]
    model = Ensemble(members, weights)
    assert isinstance(model, Model)
    out = model.outputs(X, features=True)
    assert out.logits.dtype == np.float32
    mean = np.average([stated(m) for m in members], axis=0, weights=weights)
    np.testing.assert_allclose(np.exp(out.logits.astype(float)), mean, rtol=1e-5)
    assert (out.features, model.n_outputs, model.classes) == (None, 3, ("0", "1", "2"))


def test_features_are_the_firsts() -> None:
    first, second = net(), net(1)
    features = Ensemble([first, second]).outputs(X, features=True).features
    assert np.array_equal(features, first.outputs(X, features=True).features)
    assert not np.array_equal(features, second.outputs(X, features=True).features)
    assert Ensemble([first, second]).outputs(X).features is None


def test_what_all_members_rule_out_stays_finite() -> None:
    tree = as_model(DecisionTreeClassifier().fit(X, Y), "classification")
    logits = Ensemble([tree, tree]).outputs(X).logits
    assert logits.min() == pytest.approx(np.log(1e-12))


def test_values_are_averaged_in_regression() -> None:
    members = [as_model(LinearRegression().fit(X, a * X[:, 0] + a), "regression") for a in (1, 4)]
    model = Ensemble([*members, net(0, 1)], [0.5, 0.25, 0.25])
    out = model.outputs(X).logits
    assert (model.task, out.shape) == ("regression", (90, 1))
    expected = 1.5 * X[:, 0] + 1.5 + 0.25 * net(0, 1).outputs(X).logits[:, 0]
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-5)


def test_it_can_be_a_subjects_model() -> None:
    subject = Subject(Ensemble([net(), net(1)]), test=Split(X, Y))
    assert adapt(subject, "classification") is subject.model
    assert subject.model.n_outputs == 3
    np.testing.assert_allclose(stated(Tempered(subject.model, 1.0)), stated(subject.model), rtol=1e-5)


def test_it_is_told_apart_and_told_of() -> None:
    a, b = net(), net(1)
    models = (Ensemble([a, b]), Ensemble([b, a]), Ensemble([a, b], [0.4, 0.6]), Ensemble([a]))
    assert len({m.fingerprint() for m in models}) == 4
    assert Ensemble([a, b]).fingerprint() == models[0].fingerprint()
    told = models[2].describe()
    assert (told["kind"], told["members"], told["weights"]) == ("ensemble", ["torch", "torch"], [0.4, 0.6])
    assert told["parameters"] == 2 * (4 * 5 + 5 + 5 * 3 + 3)
    assert Ensemble([a, estimator()]).describe()["parameters"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble([]), "no members"),
        (lambda: Ensemble([nn.Linear(4, 3)]), "member 0 is of type Linear"),
        (lambda: Ensemble([estimator(), as_model(LinearRegression().fit(X, Y), "regression")]), "other task"),
        (lambda: Ensemble([estimator(), estimator(y=np.array(list("abc"))[Y])]), "0 and 1 .* other classes"),
        (lambda: Ensemble([estimator(), estimator(y=Y > 0)]), "other classes"),
        (lambda: Ensemble([net(), net(0, 2)]).outputs(X), "other outputs .3, 2."),
        (lambda: Ensemble([net(), net()], [1.0]), "2 numbers of 0 or more"),
        (lambda: Ensemble([net(), net()], [0.5, 0.6]), "sum to 1"),
        (lambda: Ensemble([net(), net()], [1.5, -0.5]), "0 or more"),
        (lambda: Ensemble([net(), net()], [np.nan, 1.0]), "0 or more"),
    ],
)
def test_what_does_not_belong_together_is_refused(make: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
