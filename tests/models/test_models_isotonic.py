"""Isotonic: what scikit-learn makes of the same probabilities, but nothing is ruled out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression

from uncork.derived.isotonic import fit_isotonic
from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.isotonic import Isotonic
from uncork.models.predictions import PredictionsModel
from uncork.schema.errors import BadInput


class Given(ClassifierMixin, BaseEstimator):
    """Its inputs are its probabilities."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Given:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[x.argmax(axis=1)]


def rows(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities too sure and leaning to one class, in float32 as a model states them, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    return softmax((3 * z + np.arange(k)).astype(np.float32), axis=1), y


def fitted(p: np.ndarray, y: np.ndarray) -> Isotonic:
    inner = PredictionsModel("classification", p.shape[1])
    return Isotonic(inner, fit_isotonic(inner.outputs(p).logits, y, p.shape[1]), len(y))


@pytest.mark.parametrize("k", [2, 3, 6])
def test_it_is_scikit_learns(k: int) -> None:
    p, y = rows(3000, k, 0)
    new, _ = rows(2000, k, 1)
    model = fitted(p, y)
    assert isinstance(model, Model)
    # What the model reads of a batch, in 64 bits, so that no step's edge falls between two roundings.
    read, fresh = (softmax(model.inner.outputs(x).logits.astype(float), axis=1) for x in (p, new))
    theirs = CalibratedClassifierCV(FrozenEstimator(Given().fit(p, y)), method="isotonic").fit(read, y)
    expected = theirs.predict_proba(fresh)
    ours = np.exp(model.outputs(new).logits.astype(float))
    calibrators = theirs.calibrated_classifiers_[0].calibrators
    columns = fresh[:, 1:] if k == 2 else fresh
    each = np.stack([c.predict(column) for c, column in zip(calibrators, columns.T, strict=True)], axis=1)
    untouched = ((each > 1 / 3002) & (each < 1 - 1 / 3002)).all(axis=1)
    assert untouched.mean() > 0.2
    np.testing.assert_allclose(ours[untouched], expected[untouched], rtol=1e-5)
    assert np.abs(ours - expected).max() < k / 3002
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("k", [2, 4])
def test_nothing_is_ruled_out(k: int) -> None:
    """Separable rows: the regression says 0 and 1, the model no more than Laplace's rule after 400 rows."""
    y = np.arange(400) % k
    p = np.full((400, k), 0.01 / (k - 1))
    p[np.arange(400), y] = 0.99
    ours = np.exp(fitted(p, y).outputs(p).logits.astype(float))
    assert ours.min() == pytest.approx(1 / 402, rel=0.02)
    assert ours[np.arange(400), y].min() > 1 - k / 402
    # A class that was not among the rows gets as little, wherever it is likely.
    model = fitted(p, np.zeros(400, int))
    np.testing.assert_allclose(np.exp(model.outputs(p).logits)[:, 1], 1 / 402, rtol=0.02)


def test_an_order_of_two_classes_is_kept_and_decisions_may_change() -> None:
    p, y = rows(3000, 2, 0)
    model = fitted(p, y)
    before, after = p[:, 1], np.exp(model.outputs(p).logits.astype(float))[:, 1]
    assert (np.diff(after[np.argsort(before)]) >= -1e-7).all()
    assert ((before > 0.5) != (after > 0.5)).any()


def test_it_is_told_apart() -> None:
    p, y = rows(500, 3, 0)
    models = [fitted(p, y), fitted(*rows(500, 3, 1)), Isotonic(fitted(p, y).inner, fitted(p, y).knots, 501)]
    assert len({m.fingerprint() for m in (models[0].inner, *models)}) == 4
    assert models[0].fingerprint() == fitted(p, y).fingerprint()
    told = models[0].describe()["isotonic"]
    assert (told["rows"], told["knots"]) == (500, sum(len(x) for x, _ in models[0].knots))


STEP = (np.array([0.2, 0.8]), np.array([0.1, 0.9]))


@pytest.mark.parametrize(
    ("k", "knots", "n", "message"),
    [
        (2, [STEP, STEP], 10, "give 1 for 2 classes"),
        (3, [STEP], 10, "give 3 for 3 classes"),
        (2, [STEP], 0, "how many rows"),
        (2, [(STEP[0][::-1], STEP[1])], 10, "the first rising"),
        (2, [(STEP[0], STEP[1][:1])], 10, "equal length"),
        (2, [(STEP[0], 2 * STEP[1])], 10, r"outside \[0, 1\]"),
        (2, [(STEP[0], STEP[1] * np.nan)], 10, r"outside \[0, 1\]"),
    ],
)
def test_what_is_no_map_is_refused(k: int, knots: Any, n: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Isotonic(PredictionsModel("classification", k), knots, n)


def test_a_regression_has_none() -> None:
    x = np.arange(8.0).reshape(-1, 1)
    with pytest.raises(BadInput, match="regression"):
        Isotonic(as_model(LinearRegression().fit(x, x[:, 0]), "regression"), [STEP], 10)
