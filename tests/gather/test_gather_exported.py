from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.gather.exported import gather
from uncork.models.onnx_model import OnnxModel
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel
from uncork.probes.export_mismatch import measure
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.schema.exported import Exported
from uncork.testing.gatherers import check_gatherer
from uncork.testing.probes import verdict

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

N = 700


class Net(nn.Sequential):
    def __init__(self, *first: nn.Module) -> None:
        super().__init__(*first, nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


class LeftOn(nn.Dropout):
    """Dropout that ignores the mode it is in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, self.p, training=True)


class Asks(nn.Module):
    """Says another thing where it is exported: what it hangs on is baked in."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.last(x if torch.compiler.is_exporting() else x + 1)  # type: ignore[no-any-return]


class Branches(Asks):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1))  # type: ignore[no-any-return]


def subject(module: Any, *, train: bool = True) -> Subject:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    parts = [Split(rng.normal(size=(n, 1, 6, 6)).astype(np.float32), np.arange(n) % 3) for n in (300, N, 40)]
    given = {"train": parts[0]} if train else {}
    return Subject(module, validation=parts[1], test=parts[2], **given)


def judged(module: nn.Module, context_of: Callable[..., Context]) -> tuple[Any, str]:
    data = gather.gather(Exported(), context_of(subject(module)))
    return data, verdict(measure, {"exported": data})


@pytest.mark.slow
def test_a_clean_net_says_the_same_in_32_bits_and_nearly_in_eight(context_of: Callable[..., Context]) -> None:
    torch.manual_seed(0)
    net = Net(nn.Dropout(0.5)).train()
    data, said = judged(net, context_of)
    assert said == "clear"
    assert net.training
    assert data.gap.shape == (N,)
    assert data.gap.max() < 1e-5
    assert data.by_size.max() < 1e-5
    assert data.again == 0
    assert 1e-4 < data.gap_int8.max() < 0.5 * data.spread
    assert (data.decided_int8 != data.decided[:, 0]).mean() < 0.1
    logits = TorchModel(net, task="classification").outputs(subject(net).validation.take(np.arange(N))).logits
    assert (data.decided[:, 0] == logits.argmax(axis=1)).all()
    assert data.spread == pytest.approx(float(logits.std()), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "random"), [(lambda: Net(LeftOn(0.5)), True), (Asks, False)])
def test_a_planted_mismatch_is_found(make: Any, random: bool, context_of: Callable[..., Context]) -> None:
    torch.manual_seed(0)
    data, said = judged(make(), context_of)
    assert said == "bottleneck"
    assert (data.again > 0.01) == random


@pytest.mark.slow
def test_keeps_the_contract(context_of: Callable[..., Context]) -> None:
    torch.manual_seed(0)
    check_gatherer(gather, Exported(), context_of(subject(Net())))


@pytest.mark.slow
def test_without_train_eight_bits_are_left_out(context_of: Callable[..., Context]) -> None:
    torch.manual_seed(0)
    data = gather.gather(Exported(), context_of(subject(Net(), train=False)))
    assert data.why_no_int8.startswith("its ranges are set on rows of train")
    assert (len(data.decided_int8), data.bytes_int8) == (0, 0)
    assert data.bytes > 0


@pytest.mark.slow
def test_what_an_exporter_can_t_take_is_not_applicable(context_of: Callable[..., Context]) -> None:
    with pytest.raises(Unavailable, match="can't take this Branches"):
        gather.gather(Exported(), context_of(subject(Branches())))


def test_what_is_no_bare_module_is_not_applicable(
    context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(subject(Asks()))
    assert gather.price(Exported(), context) > 0
    tempered = context.of(context.subject, Tempered(context.model, 2.0))
    with pytest.raises(Unavailable, match="something around it: export compares"):
        gather.gather(Exported(), tempered)
    file = context.of(context.subject, OnnxModel.__new__(OnnxModel))
    with pytest.raises(Unavailable, match="an ONNX file already"):
        gather.gather(Exported(), file)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = np.arange(60) % 2
    estimator = Subject(LogisticRegression().fit(x, y), validation=Split(x[:40], y[:40]), test=Split(x[40:], y[40:]))
    with pytest.raises(Unavailable, match="bare torch module"):
        gather.gather(Exported(), context_of(estimator))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="export"):
        gather.gather(Exported(), context)
