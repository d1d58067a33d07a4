from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import uncork.models.clock
import uncork.planted.faults
from uncork import Recipe, Split, Subject
from uncork.gather import training_step as gathering
from uncork.gather._contract import Context
from uncork.gather.training_step import gather
from uncork.planted.faults import SlowRows
from uncork.probes.wasted_compute import measure
from uncork.schema.errors import Unavailable
from uncork.schema.training_step import COMPILED, HELD, LOADED, TrainingStep
from uncork.testing.gatherers import check_gatherer

MEASURED = ("seconds", "peak_seconds", "part_seconds")


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def subject(n: int = 400, build: Callable[[], nn.Module] = build, **recipe: Any) -> Subject:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 64)).astype(np.float32), rng.integers(0, 10, n)
    settings = {"epochs": 1, "batch_size": 16} | recipe
    return Subject(
        build(),
        train=Split(x, y),
        validation=Split(x + 1, y),
        test=Split(x + 2, y),
        recipe=Recipe(build, **settings),
    )


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ROUNDS", 20)
    monkeypatch.setattr(gathering, "TIMES", (2.0,))
    monkeypatch.setattr(gathering, "APART", 3)
    monkeypatch.setattr(gathering, "AT_LEAST", 0.001)
    monkeypatch.setattr(gathering, "PEAK", {"cpu": 64, "cuda": 64})


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_keeps_the_contract(context_of: Callable[..., Context]) -> None:
    check_gatherer(gather, TrainingStep(), context_of(subject()), measured=MEASURED)


class Clock:
    """Processor time, and what was slept: other processes' work does not count. (The benchmark sleeps in earnest.)"""

    def __init__(self) -> None:
        self.slept = 0.0

    def perf_counter(self) -> float:
        return time.process_time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.usefixtures("few_rounds")
def test_a_planted_sleep_is_found(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    """1 ms for each of 16 rows. Held ready, a batch waits for none of them."""
    given, clock = subject(), Clock()
    for module in (gathering, uncork.models.clock, uncork.planted.faults):
        monkeypatch.setattr(module, "time", clock)
    rows = SlowRows(given.train.take(np.arange(400)), 1e-3)
    data = gather.gather(TrainingStep(), context_of(given.replace(train=Split(rows, given.train.y))))
    waited = np.median(data.seconds[:, data.ways.index(LOADED)] - data.seconds[:, data.ways.index(HELD)])
    assert waited == pytest.approx(0.016, rel=0.1)
    step = np.median(data.seconds[:, data.ways.index(HELD)])
    share = measure(step=data, rng=np.random.default_rng(0)).estimates["stall"]
    assert share.value == pytest.approx(0.016 / (0.016 + step), rel=0.1)
    assert np.median(data.part_seconds[:, data.parts.index("reading rows")]) == pytest.approx(0.016, rel=0.1)


@pytest.mark.usefixtures("few_rounds")
def test_operations_are_those_of_the_layers(context_of: Callable[..., Context]) -> None:
    """Two for a multiplication and addition; backward twice forward, but for the input's gradient, which none asks."""
    data = gather.gather(TrainingStep(), context_of(subject()))
    first, second = 2 * 16 * 64 * 256, 2 * 16 * 256 * 10
    assert data.flops == 2 * first + 3 * second
    parts = dict(zip(data.parts, data.part_flops, strict=True))
    assert (parts["forward: 0"], parts["forward: 2"]) == (first, second)
    assert list(data.parts[:3]) == ["reading rows", "forward: 0", "forward: 1"]
    assert data.ways == (LOADED, HELD, "bfloat16", "batch of 32")
    assert data.rows.tolist() == [16, 16, 16, 32]
    assert not len(data.padding)


class Marked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Embedding(5, 10)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return (self.inner(input_ids) * attention_mask[..., None]).sum(1)


@pytest.mark.usefixtures("few_rounds")
def test_padding_is_counted(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is any, other batches are timed on as many as there are rounds."""
    held: dict[int, Any] = {}
    take = gathering._Step.take

    def watched(self: Any, batch: Any, rows: np.ndarray, *others: Any) -> None:
        if len(rows) == 40:
            held[id(batch)] = batch
        take(self, batch, rows, *others)

    monkeypatch.setattr(gathering._Step, "take", watched)
    ids, y = np.ones((60, 4), np.int64), np.arange(60) % 10
    mask = np.tile([1, 1, 1, 0], (60, 1))
    parts = {
        name: Split({"input_ids": ids + i, "attention_mask": mask}, y)
        for i, name in enumerate(("train", "validation", "test"))
    }
    given = Subject(Marked(), recipe=Recipe(Marked, epochs=1, batch_size=20), **parts)
    data = gather.gather(TrainingStep(), context_of(given))
    assert data.padding.tolist() == [0.25] * 3
    assert len(held) == 20


class Bare(nn.Module):
    """No sequence: it has no length."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Wrapped(nn.Module):
    """As torch.compile's, it asks the module within for its length."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.within = module

    def __len__(self) -> int:
        return len(self.within)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.within(x)


@pytest.mark.usefixtures("few_rounds")
def test_what_fails_is_told(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def run(*_: Any) -> Any:
            raise RuntimeError("no compiler\nmore")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    data = gather.gather(TrainingStep(compiled=True), context_of(subject()))
    assert data.missing == {COMPILED: "no compiler"}
    monkeypatch.setattr(torch, "compile", lambda module: Wrapped(module))
    data = gather.gather(TrainingStep(compiled=True), context_of(subject(build=Bare)))
    assert COMPILED in data.ways
    with pytest.raises(Unavailable, match="give Subject"):
        gather.gather(TrainingStep(), context_of(subject().replace(recipe=lambda train, seed: build())))


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_arrays_wait_for_nothing(context_of: Callable[..., Context]) -> None:
    """A net that is heavy beside reading 128 rows of 64 numbers: the stall is surely below a fifth."""

    def heavy() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))

    data = gather.gather(TrainingStep(), context_of(subject(build=heavy, batch_size=128)))
    found = measure(step=data, rng=np.random.default_rng(0)).estimates["stall"]
    assert found.high < 0.2
    assert found.low < 0.05


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU: its utilisation, bf16 and torch.compile not measured"
)
def test_on_a_gpu(context_of: Callable[..., Context]) -> None:
    """A net of large matrices uses much of the machine, and bfloat16 is faster than float32."""

    def large() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 8192), nn.ReLU(), nn.Linear(8192, 8192), nn.ReLU(), nn.Linear(8192, 10))

    data = gather.gather(TrainingStep(), context_of(subject(n=8192, build=large, batch_size=4096)))
    assert data.precision == "bfloat16"
    assert COMPILED in data.ways or COMPILED in data.missing
    found = measure(step=data, rng=np.random.default_rng(0)).estimates
    assert found["utilisation"].low > 0.1
    at = {way: i for i, way in enumerate(data.ways)}
    assert np.median(data.seconds[:, at["float32"]]) > 1.2 * np.median(data.seconds[:, at[HELD]])
