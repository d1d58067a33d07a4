"""Smoothed: a linear model's radius is known exactly; the same row gets the same answer anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from torch import nn

from uncork.models.adapt import as_model
from uncork.models.base import Model, Output
from uncork.models.ensemble import Ensemble
from uncork.models.smoothed import Smoothed
from uncork.models.torch_model import TorchModel
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput

W = np.array([0.6, -0.8, 0.0], np.float32)  # of length 1: w · x is the distance to the boundary


def linear() -> Model:
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(np.stack([-W, W])))
        net.bias.zero_()
    return as_model(net, "classification")


def at(*distances: float) -> np.ndarray:
    """Rows so far on the second class's side."""
    return (np.array(distances, np.float32)[:, None] * W).astype(np.float32)


def test_votes_are_the_gaussian_share_beyond_the_boundary() -> None:
    """P(class 1) = Φ(distance / σ); 4,000 copies: standard error below .008."""
    distances = np.array([-0.6, -0.2, 0.1, 0.5])
    votes = Smoothed(linear(), 0.5).votes(at(*distances), 4000, "test")
    assert (votes.sum(axis=1) == 4000).all()
    np.testing.assert_allclose(votes[:, 1] / 4000, stats.norm.cdf(distances / 0.5), atol=0.03)


def test_the_certified_radius_of_a_linear_model_is_below_its_distance_and_near_it() -> None:
    """σ Φ⁻¹(Φ(d / σ)) = d. One of five rows is overstated once in 200 seeds at α = .001."""
    distances = (-0.6, -0.3, 0.15, 0.3, 0.6)
    chosen, radius = Smoothed(linear(), 0.5).certify(at(*distances), copies=10_000)
    assert chosen.tolist() == [0, 0, 1, 1, 1]
    assert (radius <= np.abs(distances)).all()
    assert (radius > np.abs(distances) - 0.04).all()


def test_it_abstains_where_the_votes_are_even() -> None:
    model = Smoothed(linear(), 0.5)
    out = model.outputs(at(0.0, 1.0, 2.0))
    assert out.answered.tolist() == [False, True, True]
    chosen, radius = model.certify(at(0.0, 1.0), copies=1000)
    assert chosen.tolist() == [-1, 1]
    assert np.isnan(radius).tolist() == [True, False]
    p = np.exp(out.logits.astype(float))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert p.min() >= 1 / 102 * (1 - 1e-5)


def test_a_row_is_answered_alike_in_any_batch_and_otherwise_by_another_seed() -> None:
    rows = at(*np.linspace(-0.4, 0.4, 12))
    model = Smoothed(linear(), 0.5, seed=3)
    whole = model.outputs(rows).logits
    np.testing.assert_array_equal(model.outputs(rows[::-1]).logits, whole[::-1])
    np.testing.assert_array_equal(np.concatenate([model.outputs(rows[i : i + 1]).logits for i in range(12)]), whole)
    other = Smoothed(linear(), 0.5, seed=4)
    assert not np.array_equal(other.outputs(rows).logits, whole)
    assert len({m.fingerprint() for m in (model, other, model.inner, Smoothed(linear(), 0.4, seed=3))}) == 4
    assert isinstance(model, Model)


def test_bytes_are_smoothed_as_floats() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    model = as_model(net, "classification", preprocess=lambda x: x.float() / 255)
    out = Smoothed(model, 20.0, copies=10).outputs(np.full((2, 3), 200, np.uint8), features=True)
    assert out.logits.shape == (2, 2)
    assert out.features.shape == (2, 3)


def test_what_can_not_vote_is_refused() -> None:
    with pytest.raises(BadInput, match="give numbers above 0"):
        Smoothed(linear(), 0.0)
    with pytest.raises(BadInput, match="arrays of numbers"):
        Smoothed(linear(), 1.0).outputs(["a text"])
    x = np.arange(8.0).reshape(-1, 1)
    with pytest.raises(BadInput, match="regression"):
        Smoothed(as_model(LinearRegression().fit(x, x[:, 0]), "regression"), 1.0)


@pytest.mark.slow
def test_certificates_hold_as_often_as_stated() -> None:
    """A linear model's true radius is |w · x|: 400 rows × 10 seeds at α = .05, so that failures can be counted.

    At most 5 % of certified rows may claim more; correct code fails with probability below 1e-4 (binomial, 4,000).
    """
    distances = np.random.default_rng(0).uniform(0.05, 1.0, 400)
    claimed = np.concatenate(
        [Smoothed(linear(), 0.5, alpha=0.05, seed=s).certify(at(*distances), copies=500)[1] for s in range(10)]
    )
    wrong = claimed > np.tile(distances, 10) + 1e-6
    assert 0.01 < wrong.mean() <= stats.binom.ppf(1 - 1e-4, 4000, 0.05) / 4000


def test_copies_that_are_handed_over_have_no_vote() -> None:
    """A model that answers none: no class outvotes another, and nothing is certified."""

    class Silent(Wrapped):
        told: ClassVar[dict[str, Any]] = {}

        def moved(self, logits: np.ndarray) -> np.ndarray:
            return logits

        def outputs(self, batch: Any, features: bool = False) -> Output:
            out = super().outputs(batch, features)
            return replace(out, answered=np.zeros(len(out.logits), bool))

    x = np.ones((3, 2), np.float32)
    plain = TorchModel(nn.Linear(2, 3), task="classification")
    plain.outputs(x)
    for model in (Smoothed(Silent(plain), 0.5, copies=40), Ensemble([Silent(plain), plain])):
        assert not model.outputs(x).answered.any()
    assert (Smoothed(Silent(plain), 0.5, copies=40).certify(x, 100)[0] == -1).all()
