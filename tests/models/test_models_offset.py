"""Offset: one number per class is added to the logits, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from uncork.models.base import Model
from uncork.models.offset import Offset
from uncork.models.sklearn_model import SklearnModel
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(90, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
BY = [0.5, -1.0, 2.0]


def test_the_offset_is_added():
    inner = SklearnModel(LogisticRegression().fit(X, Y), task="classification")
    model = Offset(inner, BY)
    assert isinstance(model, Model)
    out = model.outputs(X)
    assert out.logits.dtype == np.float32
    np.testing.assert_allclose(out.logits - inner.outputs(X).logits, np.tile(BY, (90, 1)), atol=1e-5)
    assert (model.n_outputs, model.classes, model.has_inputs) == (3, inner.classes, inner.has_inputs)
    assert model.describe() == {**inner.describe(), "offset": BY}
    assert len({m.fingerprint() for m in (inner, model, Offset(inner, BY[::-1]))}) == 3


def test_a_prior_is_undone():
    """p(class | x) times a ratio of shares, normalised, is what Bayes' rule says under other shares."""
    inner = SklearnModel(LogisticRegression().fit(X, Y), task="classification")
    ratio = np.array([0.2, 3.0, 1.5])
    before, after = (np.exp(m.outputs(X).logits.astype(float)) for m in (inner, Offset(inner, np.log(ratio))))
    before, after = (p / p.sum(axis=1, keepdims=True) for p in (before * ratio, after))
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("wrong", [[0.0, 1.0], [0.0, 1.0, np.inf], 1.0])
def test_another_number_of_numbers_is_refused(wrong):
    with pytest.raises(BadInput, match="each of 3 classes"):
        Offset(SklearnModel(LogisticRegression().fit(X, Y), task="classification"), wrong)


def test_a_regression_has_no_offset():
    with pytest.raises(BadInput, match="regression"):
        Offset(SklearnModel(LinearRegression().fit(X, X[:, 0]), task="regression"), [0.0])
