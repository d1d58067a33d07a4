"""quantise: eight bits, calibrated and chosen on train alone, as an ONNX model that saves and loads again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import estimator
from torch import nn

from uncork import Split, Subject, load_treated
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.onnx_model import OnnxModel
from uncork.models.to_int8 import WAYS
from uncork.remedies import quantise
from uncork.remedies._contract import Case
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


def build() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 10),
    )


def halved(x: torch.Tensor) -> torch.Tensor:
    return x / 16


@pytest.fixture(scope="module")
def given(digits: Digits) -> Subject:
    """A small convolutional net on raw digits, which are scaled before it."""
    from uncork import Recipe

    x, y = digits
    x = (16 * x).astype(np.float32)
    train = Split(x[:700], y[:700])
    recipe = Recipe(build, epochs=6, lr=3e-3, batch_size=50)
    net = recipe.fit(train, seed=0, preprocess=halved)
    return Subject(net, train=train, validation=Split(x[700:], y[700:]), test=None, recipe=recipe, preprocess=halved)


@pytest.fixture
def always_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine: the way that is first in line is chosen, at a planted speed."""

    def planted(before: np.ndarray, after: np.ndarray, **_: Any) -> Estimate:
        return Estimate(1.05, 1.04, 1.06, "times faster", 10, "planted")

    monkeypatch.setattr("uncork.remedies._faster.times_faster", planted)


@pytest.mark.usefixtures("always_faster")
@pytest.mark.slow
def test_keeps_the_contract(case_of: CaseOf, given: Subject) -> None:
    check_remedy(quantise.apply, lambda: case_of(given))


@pytest.mark.slow
@pytest.mark.usefixtures("always_faster")
def test_an_onnx_model_of_eight_bits_saves_and_loads(case_of: CaseOf, given: Subject, tmp_path: Path) -> None:
    case = case_of(given)
    treated = quantise.apply.apply(case)
    model = adapt(treated.subject, "classification")
    assert isinstance(model, OnnxModel)
    kinds = {bytes(node.op_type, "ascii") for node in _graph(model).node}
    assert b"QLinearConv" in kinds
    before, after = (logits_of(m, given.validation) for m in (adapt(given, "classification"), model))
    # Eight bits move logits, but by little: of 1,097 digits fewer than 1 in 100 turn.
    assert 0 < np.abs(before - after).max() < 0.1 * np.abs(before).max()
    assert (before.argmax(axis=1) != after.argmax(axis=1)).mean() < 0.01
    assert len(model.file.content) < 0.4 * len(_float(case).file.content)

    save_treated(tmp_path, treated.subject, model, ["quantise"])
    loaded = load_treated(tmp_path, preprocess=halved)
    assert np.array_equal(logits_of(loaded, given.validation), after)


def _graph(model: OnnxModel) -> Any:
    import onnx

    return onnx.load_model_from_string(model.file.content).graph


def _float(case: Case) -> OnnxModel:
    return adapt(quantise.in_32_bits(case, None).subject, "classification")  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_control_is_the_same_net_in_32_bits(case_of: CaseOf, given: Subject) -> None:
    case = case_of(given)
    before, control = (logits_of(m, given.validation) for m in (adapt(given, "classification"), _float(case)))
    np.testing.assert_allclose(before, control, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("always_faster")
def test_only_rows_of_train_are_looked_at(case_of: CaseOf, given: Subject) -> None:
    """Validation that can't be read changes nothing."""
    broken = given.replace(validation=Split(np.full((9, 64), np.nan, np.float32), np.zeros(9, np.int64)))
    one, other = (quantise.apply.apply(case_of(subject)) for subject in (given, broken))
    assert one.subject.model.file.content == other.subject.model.file.content
    with pytest.raises(Unavailable, match="rows of train"):
        quantise.apply.apply(case_of(given.replace(train=None)))


@pytest.mark.slow
def test_what_is_not_faster_is_not_offered(case_of: CaseOf, given: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    slower = Estimate(0.9, 0.8, 1.01, "times faster", 10, "planted")
    monkeypatch.setattr("uncork.remedies._faster.times_faster", lambda *_, **__: slower)
    with pytest.raises(Unavailable, match="not surely faster than 32") as refused:
        quantise.apply.apply(case_of(given))
    assert all(way in str(refused.value) for way in WAYS)


@pytest.mark.slow
@pytest.mark.usefixtures("always_faster")
def test_a_way_that_loses_too_much_is_not_chosen(
    case_of: CaseOf, given: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first way is planted to answer at random; the next is taken."""
    honest = quantise.int8_bytes

    def planted(content: bytes, batches: Any, way: str) -> bytes:
        made = honest(content, batches, way)
        if way != WAYS[0]:
            return made
        import onnx

        graph = onnx.load_model_from_string(content)
        for tensor in graph.graph.initializer:
            if tensor.dims[0] == 10:
                noise = np.random.default_rng(0).normal(size=tuple(tensor.dims)).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(noise, tensor.name))
        return graph.SerializeToString()

    monkeypatch.setattr(quantise, "int8_bytes", planted)
    treated = quantise.apply.apply(case_of(given))
    assert treated.changes == f"int8, {WAYS[1]}"


@pytest.mark.parametrize(
    ("width", "reason"), [(torch.float64, "no weights of 32 bits"), (torch.bfloat16, "can't be run by onnxruntime")]
)
@pytest.mark.slow
def test_nets_of_other_widths_are_not_called_int8(
    case_of: CaseOf, digits: Digits, width: torch.dtype, reason: str
) -> None:
    x, y = digits
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).to(width).eval()
    subject = Subject(net, train=Split(x[:200], y[:200]), validation=Split(x[200:300], y[200:300]), test=None)
    with pytest.raises(Unavailable, match=reason):
        quantise.apply.apply(case_of(subject))


@pytest.mark.slow
@pytest.mark.usefixtures("always_faster")
def test_a_few_rows_of_train_are_enough(case_of: CaseOf, given: Subject) -> None:
    few = given.train.subset(np.arange(5))
    assert quantise.apply.apply(case_of(given.replace(train=few))).changes.startswith("int8")


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    train = Split(x[:200], y[:200])
    subject = Subject(estimator(train, 0), train=train, validation=Split(x[200:300], y[200:300]), test=None)
    with pytest.raises(Unavailable, match="torch modules or ONNX files"):
        quantise.apply.apply(case_of(subject))
