from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import BadInput, Predictions, Split, Subject
from uncork.gather import deployment as module
from uncork.gather._contract import Context
from uncork.gather._peak import peak_bytes
from uncork.gather.deployment import gather
from uncork.models.torch_model import TorchModel
from uncork.probes.heavy_deployment import measure
from uncork.schema.deployment import Deployment, DeploymentData
from uncork.schema.errors import Unavailable
from uncork.testing.artifacts import facts
from uncork.testing.gatherers import check_gatherer

SMALL = Deployment(runs=40, compiled=False, memory=False)
MEASURED = ("single", "batch", "memory", "gap")


class Sleeps(nn.Module):
    """A linear net that takes its time in Python, which an ONNX file does not know of."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.linear, self.seconds = nn.Linear(64, 10), seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            time.sleep(self.seconds)
        out: torch.Tensor = self.linear(x)
        return out


class Allocates(nn.Module):
    """Fills so many megabytes while it runs."""

    def __init__(self, megabytes: int) -> None:
        super().__init__()
        self.linear, self.megabytes = nn.Linear(64, 10), megabytes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = torch.ones(self.megabytes * 2**18)
        out: torch.Tensor = self.linear(x) + 0 * held[0]
        return out


def subject(model: Any, digits: Any, **changes: Any) -> Subject:
    x, y = digits
    splits = {"train": slice(500), "validation": slice(500, 800), "test": slice(800, None)}
    return Subject(model, **{name: Split(x[rows], y[rows]) for name, rows in splits.items()}, **changes)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 1.0)


@pytest.mark.slow
def test_keeps_the_contract(context_of: Callable[..., Context], digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.1)
    check_gatherer(gather, SMALL, context_of(subject(Sleeps(0.0), digits)), measured=MEASURED)


@pytest.mark.slow
def test_a_planted_sleep_is_found(context_of: Callable[..., Context], digits: Any) -> None:
    """8 ms a row that an exported file does not take."""
    found: DeploymentData = gather.gather(SMALL, context_of(subject(Sleeps(8e-3), digits)))
    assert found.engines == ("torch", "onnxruntime")
    assert "not asked for" in found.missing["torch.compile"]
    assert found.flips.tolist() == [0, 0]
    assert found.gap[1] < 1e-4
    assert (np.median(found.single[0], axis=1) > 8e-3).all()
    assert found.single.shape[:2] == (2, len(found.threads))
    said = measure(deployment=found, facts=facts(), rng=np.random.default_rng(0))
    assert said.estimates["times_faster"].low > 2


@pytest.mark.slow
def test_memory_of_another_process_is_counted(digits: Any) -> None:
    x = digits[0][:2]
    small, large = (peak_bytes(TorchModel(Allocates(m), task="classification"), x) for m in (1, 101))
    assert (large - small) / 2**20 == pytest.approx(100, rel=0.15)


@pytest.mark.slow
def test_scikit_learn_has_its_own_engine_alone(context_of: Callable[..., Context], digits: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = digits
    found = gather.gather(SMALL, context_of(subject(LogisticRegression(max_iter=500).fit(x[:500], y[:500]), digits)))
    assert len(found.engines) == 1
    assert "torch modules" in found.missing["onnxruntime"]
    said = measure(deployment=found, facts=facts(), rng=np.random.default_rng(0))
    assert said.estimates["times_faster"].value == 1
    assert "No other engine" in said.summary


def test_predictions_have_no_speed(context_of: Callable[..., Context], digits: Any) -> None:
    p = np.full((60, 2), 0.5)
    splits = {name: Split(p, np.arange(60) % 2) for name in ("validation", "test")}
    with pytest.raises(Unavailable, match="only predictions"):
        gather.gather(SMALL, context_of(Subject(Predictions(), **splits)))


@pytest.mark.slow
def test_what_can_not_be_compiled_or_exported_is_said(
    context_of: Callable[..., Context], digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no C++ compiler\nhere")

    def unavailable(*_: Any) -> Any:
        raise Unavailable("it has loops")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(module, "as_onnx", unavailable)
    found = gather.gather(Deployment(runs=30, memory=False), context_of(subject(Sleeps(0.0), digits)))
    assert found.engines == ("torch",)
    assert found.missing == {"torch.compile": "no C++ compiler", "onnxruntime": "it has loops"}
    assert found.no_memory == "it was not asked for"


def test_numbers_of_threads_take_turns(
    context_of: Callable[..., Context], digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine on one thread is compared with one on two, which share what the machine is busy with."""
    said: list[int] = []

    class Says(Sleeps):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == 1:
                said.append(torch.get_num_threads())
            return super().forward(x)

    def unavailable(*_: Any) -> Any:
        raise Unavailable("not here")

    monkeypatch.setattr(module, "_threads", lambda: (1, 2))
    monkeypatch.setattr(module, "as_onnx", unavailable)
    monkeypatch.setattr(module, "SECONDS", 0.05)
    before = torch.get_num_threads()
    found = gather.gather(SMALL, context_of(subject(Says(0.0), digits)))
    changes = int((np.diff(said) != 0).sum())
    assert found.single.shape == (1, 2, 40)
    assert changes >= 2 * module.TURNS - 1
    assert torch.get_num_threads() == before


def test_latency_can_be_required(digits: Any) -> None:
    assert subject(Sleeps(0), digits, require={"latency_ms": 250}).requirements["latency_ms"] == 250
    assert "latency_ms" not in subject(Sleeps(0), digits).requirements
    with pytest.raises(BadInput, match="milliseconds"):
        subject(Sleeps(0), digits, require={"latency_ms": 0})
