"""Rivals tell their families apart, and say the same as a recipe and in the trial (tests of swap-family)."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pytest

from uncork import Split
from uncork.train.rivals import COMPONENTS, RivalRecipe, fit_rival


@pytest.mark.parametrize("family", ["linear", "knn", "gbdt"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_family_learns_a_line(family: str, task: str) -> None:
    """Two of five columns tell; on new rows each errs for less than half of what a constant does."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 5)).astype(np.float32)
    z = x[:, 0] - x[:, 1]
    y = (z > 0).astype(int) if task == "classification" else z
    out, seconds = fit_rival(family, x[:600], y[:600], x[600:], task, 2, 0)
    if task == "classification":
        assert np.mean(out.argmax(axis=1) != y[600:]) < 0.25
        np.testing.assert_allclose(np.exp(out).sum(axis=1), 1, atol=1e-4)
    else:
        assert np.mean((out - y[600:]) ** 2) < 0.5 * y.var()
    assert seconds > 0
    again = cloudpickle.loads(cloudpickle.dumps(RivalRecipe(family, task)))(Split(x[:600], y[:600]), 0)
    said = again.predict_proba(x[600:]) if task == "classification" else again.predict(x[600:])
    np.testing.assert_allclose(said, np.exp(out) if task == "classification" else out, rtol=1e-4, atol=1e-6)


def test_a_class_that_train_lacks_gets_next_to_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    out, _ = fit_rival("linear", x, 2 * (np.arange(60) % 2), x, "classification", 3, 0)
    np.testing.assert_allclose(out[:, 1], np.log(1e-12), rtol=1e-5)


def test_many_columns_are_reduced() -> None:
    rng = np.random.default_rng(0)
    fitted = RivalRecipe("linear", "classification")(Split(rng.normal(size=(100, 300)), np.arange(100) % 2), 0)
    assert fitted.named_steps["pca"].n_components_ == COMPONENTS
