"""Scaled: each class's log-probability has a factor and a number of its own; saved and loaded it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression

from uncork import Split, Subject, load_treated
from uncork.models.base import Model
from uncork.models.scaled import Scaled
from uncork.models.sklearn_model import SklearnModel
from uncork.models.temperature import Tempered
from uncork.run.save import save_treated
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(90, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
FACTOR, ADDED = [0.5, 1.0, 2.0], [0.3, -1.0, 0.1]


def inner() -> Model:
    return SklearnModel(LogisticRegression().fit(X, Y), task="classification")


def test_each_probability_is_raised_to_a_power() -> None:
    model = Scaled(inner(), FACTOR, ADDED)
    assert isinstance(model, Model)
    p = softmax(inner().outputs(X).logits.astype(float), axis=1) ** FACTOR * np.exp(ADDED)
    out = model.outputs(X).logits
    assert out.dtype == np.float32
    np.testing.assert_allclose(softmax(out.astype(float), axis=1), p / p.sum(axis=1, keepdims=True), atol=1e-6)
    assert model.describe() == {**inner().describe(), "factor": FACTOR, "added": ADDED}
    assert len({m.fingerprint() for m in (inner(), model, Scaled(inner(), FACTOR, ADDED[::-1]))}) == 3


def test_equal_factors_are_a_temperature() -> None:
    one, other = Scaled(inner(), [0.4] * 3, [0.0] * 3), Tempered(inner(), 2.5)
    p, q = (softmax(m.outputs(X).logits.astype(float), axis=1) for m in (one, other))
    np.testing.assert_allclose(p, q, atol=1e-6)


@pytest.mark.parametrize(
    ("factor", "added", "why"),
    [
        ([1.0, 1.0], ADDED, "factor .* each of 3 classes"),
        (FACTOR, [0.0, np.nan, 0.0], "added .* each of 3 classes"),
        ([1.0, 0.0, 1.0], ADDED, "above 0"),
    ],
)
def test_other_numbers_are_refused(factor: Any, added: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Scaled(inner(), factor, added)


def test_a_regression_has_no_classes() -> None:
    with pytest.raises(BadInput, match="regression"):
        Scaled(SklearnModel(LinearRegression().fit(X, X[:, 0]), task="regression"), [1.0], [0.0])


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    split = Split(X, Y)
    model = Tempered(Scaled(inner(), np.array(FACTOR) / 3, np.array(ADDED) / 7), 1.3)
    save_treated(tmp_path, Subject(model, validation=split, test=split), model, [])
    again = load_treated(tmp_path)
    assert np.array_equal(again.outputs(X).logits, model.outputs(X).logits)
    assert again.fingerprint() == model.fingerprint()
