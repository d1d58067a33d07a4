"""The outputs gathered are those of the model itself, row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import BadInput, Split
from uncork.gather import forward as module
from uncork.gather._contract import Context
from uncork.gather.forward import forward, gather
from uncork.schema.artifacts import Pass
from uncork.schema.errors import Unavailable
from uncork.testing.gatherers import check_gatherer


def test_values_are_the_models_own(context: Context, net: nn.Module, digits: Any) -> None:
    x, y = (part[500:1000] for part in digits)
    passed = gather.gather(Pass("validation"), context)
    net.eval()
    with torch.no_grad():
        direct = net(torch.from_numpy(x))
        loss = nn.functional.cross_entropy(direct, torch.from_numpy(y), reduction="none").numpy()
    assert np.array_equal(passed.predicted, direct.argmax(1).numpy())
    assert np.array_equal(passed.y, y)
    np.testing.assert_allclose(passed.loss, loss, rtol=1e-5, atol=1e-6)
    shifted = (direct - direct.amax(1, keepdim=True)).numpy()
    np.testing.assert_allclose(passed.logits.astype(float), shifted, rtol=1e-3, atol=1e-3)
    others = np.where(np.arange(10) == y[:, None], -np.inf, direct.numpy())
    np.testing.assert_allclose(passed.margin, direct.numpy()[np.arange(500), y] - others.max(1), atol=1e-5)
    assert np.array_equal(passed.rows, np.arange(500))
    assert np.array_equal(passed.clusters, passed.rows)


def test_the_model_is_left_as_it_was(context: Context, net: nn.Module) -> None:
    net.train()
    net[0].eval()
    weights = {name: t.clone() for name, t in net.state_dict().items()}
    gather.gather(Pass("validation", features=True), context)
    assert [part.training for part in net] == [False, True, True, True]
    assert all(torch.equal(t, weights[name]) for name, t in net.state_dict().items())


@pytest.mark.parametrize("request_", [Pass("validation", features=True), Pass("train", rows=90)])
def test_keeps_the_contract(context: Context, request_: Pass) -> None:
    check_gatherer(gather, request_, context)


def test_small_batches_are_flushed_together(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    whole = gather.gather(Pass("train"), context)
    monkeypatch.setattr(module, "_FLUSH", 64)
    pieces = gather.gather(Pass("train"), dataclasses.replace(context, batch_size=33))
    assert np.array_equal(pieces.rows, whole.rows)
    np.testing.assert_allclose(pieces.loss, whole.loss, rtol=1e-5)


def test_features_are_the_input_of_the_last_layer(context: Context, net: nn.Module) -> None:
    passed = gather.gather(Pass("validation", features=True), context)
    assert passed.features.shape == (500, 12)
    again = passed.features.astype(np.float32) @ net[3].weight.detach().numpy().T + net[3].bias.detach().numpy()
    np.testing.assert_allclose(again - again.max(1, keepdims=True), passed.logits.astype(float), atol=5e-3)
    assert gather.gather(Pass("validation"), context).features.shape == (500, 0)


def test_a_sample_of_rows_is_seeded_and_in_order(context: Context) -> None:
    sample = gather.gather(Pass("train", rows=100), context)
    whole = gather.gather(Pass("train"), context)
    assert len(np.unique(sample.rows)) == 100
    assert (np.diff(sample.rows) > 0).all()
    assert np.array_equal(sample.y, whole.y[sample.rows])
    np.testing.assert_allclose(sample.loss, whole.loss[sample.rows], rtol=1e-5)
    other = gather.gather(Pass("train", rows=100), dataclasses.replace(context, seed=1))
    assert not np.array_equal(sample.rows, other.rows)
    assert np.array_equal(gather.gather(Pass("train", rows=9999), context).rows, whole.rows)


def test_groups_become_clusters(context_of: Callable[..., Context], net: nn.Module, digits: Any) -> None:
    x, y = digits
    names = np.array(["b", "a", "c"])[np.arange(300) % 3]
    split = Split(x[:300], y[:300], groups=names)
    passed = gather.gather(Pass("validation"), context_of(model=net, validation=split, test=Split(x[300:], y[300:])))
    assert np.array_equal(passed.clusters, np.array([1, 0, 2])[np.arange(300) % 3])
    some = forward(context_of(model=net, test=Split(x, y)).model, split, rows=np.array([2, 3, 7]))
    assert some.clusters.tolist() == [2, 1, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_in_the_inputs_is_named_by_row(context: Context, digits: Any, value: float) -> None:
    x, y = digits[0].copy(), digits[1]
    x[[321, 400], 3] = value
    with pytest.raises(BadInput, match=r"train\.x holds NaN or inf in row 321\b.*impute"):
        forward(context.model, Split(x, y), name="train")
    with pytest.raises(BadInput, match="row 121"):  # of the data, whatever rows were asked for
        forward(context.model, Split(x[200:], y[200:]), rows=np.array([5, 7, 121]), name="train")
    with pytest.raises(BadInput, match="r321"):
        forward(context.model, Split(x, y, ids=[f"r{i}" for i in range(len(x))]), name="train")


def test_nan_in_the_logits_is_named_by_row(context_of: Callable[..., Context], digits: Any) -> None:
    class Sour(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) / (x[:, 63:] != 0.77)  # 1/0 in marked rows

    x, y = digits[0].copy(), digits[1]
    x[[612, 700], 63] = 0.77
    context = context_of(model=Sour(), test=Split(x[:100], y[:100]), validation=Split(x, y))
    with pytest.raises(BadInput, match=r"validation: the model's output holds NaN or inf in row 612\b"):
        gather.gather(Pass("validation"), context)


@pytest.mark.filterwarnings("error")
def test_large_finite_values_are_no_nan() -> None:
    """Their sum overflows, they themselves don't."""
    assert len(module._not_finite(np.full((400, 2), 1.7e308))) == 0
    assert module._not_finite(np.array([[1.7e308, 1.7e308], [1.0, np.inf], [1.0, np.nan]])).tolist() == [1, 2]


def test_regression(context_of: Callable[..., Context], digits: Any) -> None:
    from sklearn.linear_model import Ridge

    x, y = digits[0], digits[0][:, 20] + 0.5
    model = Ridge().fit(x[:300], y[:300])
    context = context_of(
        model=model,
        train=Split(x[:300], y[:300]),
        validation=Split(x[300:600], y[300:600]),
        test=Split(x, y),
        metric="rmse",
    )
    passed = gather.gather(Pass("validation"), context)
    np.testing.assert_allclose(passed.predicted, model.predict(x[300:600]), rtol=1e-5)
    np.testing.assert_allclose(passed.loss, (model.predict(x[300:600]) - y[300:600]) ** 2, rtol=1e-3, atol=1e-6)
    assert passed.logits.shape == (300, 0)
    check_gatherer(gather, Pass("validation"), context)


def test_what_is_not_there_is_unavailable(context_of: Callable[..., Context], net: nn.Module, digits: Any) -> None:
    x, y = digits
    context = context_of(model=net, test=Split(x, y))
    with pytest.raises(Unavailable, match=r"Subject\(train=\.\.\.\)"):
        gather.gather(Pass("train"), context)
    with pytest.raises(Unavailable, match="rotated"):
        gather.gather(Pass("validation", transform="rotated"), context)


def test_price_counts_the_rows_asked_for(context: Context) -> None:
    assert gather.price(Pass("train", rows=50), context) == pytest.approx(50 * context.seconds_per_row)
    assert gather.price(Pass("train", rows=5000), context) == pytest.approx(500 * context.seconds_per_row)
