"""Models as torch modules: each wrapper in torch says what it says in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from uncork.derived.strangeness import detectors
from uncork.models.adapt import as_model
from uncork.models.aligned import Aligned
from uncork.models.as_module import as_module, with_features
from uncork.models.base import Model
from uncork.models.contracted import Contracted, learn
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Bounded, Guarded
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.on_features import Encoder, OnFeatures
from uncork.models.patched import Memory, Patched
from uncork.models.predictions import PredictionsModel
from uncork.models.rejecting import Rejecting
from uncork.models.ruled import Rule, Ruled
from uncork.models.scaled import Scaled
from uncork.models.smoothed import Smoothed
from uncork.models.steps import Rows
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel, evaluating
from uncork.models.viewed import Viewed
from uncork.schema.certificate import Certificate
from uncork.schema.errors import Unavailable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype(np.float32)
KNOTS = (np.array([0.05, 0.3, 0.31, 0.9]), np.array([0.0, 0.2, 0.7, 1.0]))


def net(outputs: int = 3, seed: int = 0) -> TorchModel:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, outputs))
    with torch.no_grad():
        module[2].weight.mul_(6)
    model = as_model(module, "classification")
    model.outputs(X[:4], features=True)
    return model  # type: ignore[no-any-return]


def certified(threshold: float) -> Certificate:
    return Certificate(threshold, 0.9, 0.95, 120, 4, 300)


def patched(inner: Model, space: Any) -> Patched:
    out = inner.outputs(X[:9], features=True)
    points = out.features if space == "features" else out.logits
    assert points is not None
    labels = np.concatenate([out.logits[:5].argmax(axis=1), (out.logits[5:].argmax(axis=1) + 1) % 3])
    return Patched(inner, Memory(tuple("abcdefghi"), points, labels, np.linspace(0, 2, 9), space))


def rejecting(name: str) -> Rejecting:
    inner = net()
    out = inner.outputs(X, features=True)
    detector = detectors(out.logits[:200], out.features[:200], out.logits[:200].argmax(axis=1))[name]  # type: ignore[index]
    threshold = float(np.quantile(detector(out.logits, out.features), 0.8))
    return Rejecting(inner, detector, threshold, rate=0.2, confidence=0.9, rows=200)


def said_by(model: Model, x: np.ndarray = X) -> tuple[np.ndarray, np.ndarray | None]:
    module = as_module(model)
    with evaluating(module), torch.inference_mode():
        said = module(Rows(torch.from_numpy(x)))
    return said.logits.numpy(), None if said.answered is None else said.answered.numpy()


MADE: dict[str, Callable[[], Model]] = {
    "net": net,
    "one output": lambda: net(1),
    "temperature": lambda: Tempered(net(), 0.37),
    "offset": lambda: Offset(net(), [0.5, -1.0, 2.0]),
    "vector scaling": lambda: Scaled(net(), [0.5, 1.5, 2.0], [0.1, -0.3, 0.0]),
    "isotonic": lambda: Isotonic(net(), [KNOTS, (KNOTS[0][:1], KNOTS[1][1:2]), KNOTS], 50),
    "isotonic of two": lambda: Isotonic(net(2), [KNOTS], 50),
    "aligned": lambda: Aligned(net(), np.array([2, 0, 3]), ["a", "b", "c", "d"]),
    "patch among features": lambda: patched(net(), "features"),
    "patch among logits": lambda: patched(net(), "logits"),
    "no patch": lambda: Patched(net(), patched(net(), "logits").memory.take(np.zeros(9, bool))),
    "rules": lambda: Ruled(net(), [(Rule.read("if x[0] > 0.5 and x[1] <= 0"), 2), (Rule.read("if x[0] != 9"), 1)]),
    "guard": lambda: Guarded(net(), certified(0.7)),
    "guard with a fallback": lambda: Guarded(net(), certified(0.7), fallback=Tempered(net(seed=1), 0.8)),
    "ensemble": lambda: Ensemble([net(), Guarded(net(seed=1), certified(0.5))], [0.3, 0.7]),
    "head on features": lambda: OnFeatures(
        Encoder(net()), np.ones((2, 8), np.float32), np.array([1, 2], np.float32), task="classification"
    ),
    "head on an encoder": lambda: OnFeatures(
        Encoder(net(), whole=True), np.ones((2, 3), np.float32), np.array([1, 2], np.float32), task="classification"
    ),
    **{name: lambda name=name: rejecting(name) for name in ("probability", "energy", "mahalanobis", "knn")},  # type: ignore[misc]
    "contract": lambda: Contracted(net(), learn([0.2 * X[:50]])),
    "all": lambda: Guarded(
        Contracted(Tempered(patched(net(), "features"), 2.0), learn([0.2 * X[:50]])), certified(0.5)
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_wrapper_says_in_torch_what_it_says_in_numpy(name: str) -> None:
    model = MADE[name]()
    out = model.outputs(X)
    logits, answered = said_by(model)
    assert np.allclose(logits, out.logits, rtol=1e-5, atol=1e-5)
    assert (logits.argmax(axis=1) == out.logits.argmax(axis=1)).all()
    assert (answered is None) == (out.answered is None)
    if answered is not None and out.answered is not None:
        assert 0.02 < answered.mean() < 0.98
        assert (answered == out.answered).all()


def test_a_patched_tie_goes_to_the_label() -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[2.0, 2.0, 1.0]]).expand(len(x), 3) + 0 * x[:, :3]

    inner = as_model(Same(), "classification")
    inner.outputs(X[:2], features=True)
    memory = Memory(("a",), np.array([[2, 2, 1]], np.float32), np.array([2]), np.array([1.0]), "logits")
    model = Patched(inner, memory)
    assert (model.outputs(X).logits.argmax(axis=1) == 2).all()
    logits = said_by(model)[0]
    assert (logits.argmax(axis=1) == 2).all()
    assert np.abs(logits - model.outputs(X).logits).max() < 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contract_of_pictures_is_kept_row_by_row(channels: int) -> None:
    x = RNG.integers(0, 200, size=(60, channels, 4, 4)).astype(np.uint8)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 2))
    model = Contracted(as_model(module, "classification", preprocess=lambda b: b.float() / 255), learn([x]))
    strange = np.concatenate([x, 255 - x // 8, x // 9])
    model.outputs(strange, features=True)
    logits, answered = said_by(model, strange)
    expected = model.outputs(strange)
    assert expected.answered is not None
    assert expected.answered[:60].all()
    assert not expected.answered[60:].any()
    assert (answered == expected.answered).all()
    assert np.allclose(logits, expected.logits, atol=1e-5)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_contract_of_a_table_minds_what_is_missing_and_what_is_whole(kind: str) -> None:
    x = X[:100].copy()
    x[:, 2] = np.rint(3 * x[:, 2])
    x[::7, 4] = np.nan
    columns = [f"c{i}" for i in range(6)]

    def batch(rows: np.ndarray) -> Any:
        return pd.DataFrame(rows, columns=columns) if kind == "frame" else rows

    module = nn.Sequential(nn.Linear(6, 2))
    model = Contracted(as_model(module, "classification", preprocess=torch.nan_to_num), learn([batch(x)]))
    odd = np.repeat(x[:1], 7, axis=0)
    odd[0, 1], odd[1, 2], odd[2, 4], odd[3, 4], odd[4, 5], odd[5, 0] = np.nan, 0.5, np.nan, 0.1, np.inf, 1e9
    rows = np.concatenate([x, odd])
    expected = model.outputs(batch(rows))
    logits, answered = said_by(model, rows)
    assert expected.answered is not None
    assert expected.answered[-7:].tolist() == [False, False, True, True, False, False, True]
    assert (answered == expected.answered).all()
    assert np.allclose(logits, expected.logits, atol=1e-5)


def test_a_regression_has_its_interval() -> None:
    module = nn.Linear(6, 1)
    inner = as_model(module, "regression")
    model = Bounded(inner, [-0.5, 0.5], [1.0, np.inf, 3.0], coverage=0.9, n=100)
    with torch.inference_mode():
        said = as_module(model)(Rows(torch.from_numpy(X)))
    expected = np.array([decided.interval for decided in model.decide(X)])
    assert np.allclose(said.features.numpy(), expected, atol=1e-5)


def test_features_come_along_with_the_outputs() -> None:
    model = net()
    out = model.outputs(X, features=True)
    with torch.inference_mode():
        logits, features = with_features(model)(torch.from_numpy(X))
    assert np.array_equal(logits.numpy(), out.logits)
    assert np.array_equal(features.numpy(), out.features)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Smoothed(net(), 0.1), "Smoothed can't be a part of an ONNX file: it draws noise"),
        (lambda: Viewed(net(), "mirrored"), "Viewed .* made by NumPy"),
        (lambda: PredictionsModel("classification", 3), "predictions alone"),
        (lambda: Ruled(net(), [(Rule.read("if age > 3"), 1)]), "by its name"),
        (lambda: Contracted(net(), learn([["a", "b"]])), "texts or categories"),
    ],
)
def test_what_can_t_be_a_part_of_a_file_is_refused_with_the_reason(make: Callable[[], Model], why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        as_module(make())
