from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from torch import nn

from uncork.models.aligned import Aligned, aligned
from uncork.models.base import Model
from uncork.models.sklearn_model import SklearnModel
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable

X = np.random.default_rng(0).normal(size=(90, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NAMES = ["ant", "bee", "cow", "dog", "elk"]


@pytest.mark.parametrize(
    "labels", [np.array([0, 3, 4])[Y], np.array(["ant", "dog", "elk"])[Y], np.array([0.0, 3.0, 4.0])[Y]]
)
@pytest.mark.parametrize("kind", [LogisticRegression, LinearSVC])
def test_columns_go_where_their_class_is(labels, kind):
    inner = SklearnModel(kind().fit(X, labels))
    model = aligned(inner, NAMES)
    assert isinstance(model, Model)
    assert (model.n_outputs, model.classes) == (5, tuple(NAMES))
    logits = model.outputs(X).logits
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits[:, [0, 3, 4]], inner.outputs(X).logits)
    np.testing.assert_allclose(softmax(logits.astype(float), axis=1)[:, [1, 2]], 1e-12, rtol=1e-4)
    assert model.fingerprint() != inner.fingerprint()
    assert model.describe()["columns"] == [0, 3, 4]


def test_indices_in_the_order_of_strings_are_put_in_order():
    y = np.arange(90) % 11
    model = aligned(SklearnModel(LogisticRegression().fit(X, y.astype(str))), [f"class {i}" for i in range(11)])
    assert isinstance(model, Aligned)
    assert model.columns.tolist() == [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]


def test_models_that_are_in_order_stay_as_they_are():
    for labels in (Y, np.array(["ant", "bee", "cow"])[Y], np.array(["x", "y", "z"])[Y]):
        model = SklearnModel(LogisticRegression().fit(X, labels))
        assert aligned(model, NAMES[:3]) is model
    offset = SklearnModel(LogisticRegression().fit(X, Y + 1))
    assert aligned(offset, ["1", "2", "3"]) is offset  # the user's own names, though two are indices as well
    for model in (SklearnModel(LinearRegression().fit(X, X[:, 0])), TorchModel(nn.Linear(4, 5), task="classification")):
        assert aligned(model, NAMES) is model


def test_what_can_not_be_matched_is_not_available():
    with pytest.raises(Unavailable, match=r"has 3 outputs \(x, y, z\), but there are 5 classes"):
        aligned(SklearnModel(LogisticRegression().fit(X, np.array(["x", "y", "z"])[Y])), NAMES)
    net = TorchModel(nn.Linear(4, 3), task="classification")
    net.outputs(X)
    with pytest.raises(Unavailable, match="has 3 outputs, but there are 5 classes"):
        aligned(net, NAMES)
