"""What is judged by its tolerance is kept only where it surely saves: in time, or in bytes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from treat_helpers import Table, World, a_finding, bench_of, trains

from uncork.models.base import Output
from uncork.run.bench import Bench
from uncork.run.verify import verify
from uncork.schema.report import Treatment


class Slow(Table):
    """A table that sleeps before it answers a single row, and says how many bytes it has."""

    def __init__(self, logits: np.ndarray, seconds: float, size: int | None = None) -> None:
        super().__init__(logits)
        self.seconds, self.size = seconds, size

    def outputs(self, batch: Any, features: bool = False) -> Output:
        if len(batch) == 1:
            time.sleep(self.seconds)
        return super().outputs(batch)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "bytes": self.size}


def tried(saves: str, after: tuple[float, int | None], folder: Path) -> tuple[Bench, Treatment]:
    """From a model that takes 2 ms and 1000 bytes to one that answers alike, and is so slow and so large."""
    world = World(5, by_seed=0.0, residual=0.0)
    logits = world.model(0).logits
    better = logits + np.float32(1e-6)
    bench = bench_of(world.subject(Slow(logits, 2e-3, 1000)), folder, delta=60.0)
    remedy = trains(lambda *_: Slow(better, *after), lambda *_: Slow(logits, 2e-3, 1000), yardstick="tolerance")
    object.__setattr__(remedy, "saves", saves)
    return bench, bench.attempt(remedy, a_finding(), 3).treatment


@pytest.mark.parametrize(
    ("saves", "after", "verdict"),
    [
        ("latency", (1e-3, 1000), "helps"),
        ("latency", (2e-3, 1000), "not"),
        ("latency", (4e-3, 10), "hurts"),
        ("bytes", (2e-3, 250), "helps"),
        ("bytes", (1e-3, 1000), "undetermined"),
        ("bytes", (1e-3, None), "undetermined"),
        ("", (4e-3, 4000), "helps"),
    ],
)
def test_kept_is_what_surely_saves(
    saves: str, after: tuple[float, int | None], verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal sleeps are told apart in 2.5 % of draws on either side: "not" checks the rule, whatever was drawn."""
    monkeypatch.setattr("uncork.run.savings.ROWS", 2)
    bench, treatment = tried(saves, after, tmp_path)
    effects = {effect.name: effect.after for effect in treatment.side_effects}
    if verdict == "not":
        faster = effects["times faster"]
        assert faster.value == pytest.approx(1, abs=0.15)
        assert treatment.kept == (faster.low > 1)
        return
    assert (treatment.verdict, treatment.kept) == (verdict, verdict == "helps")
    assert not any(effect.after.unit for effect in treatment.side_effects if effect.name.startswith("times"))
    assert ("does not surely save anything" in treatment.reason) == (verdict != "helps")
    assert len(bench.changes) == (verdict == "helps")
    if saves == "latency":
        factor = effects["times faster"]
        # A sleep takes some .1 ms longer than asked, of both.
        assert factor.low < 2e-3 / after[0] * 1.1
        assert factor.high > 2e-3 / after[0] * 0.85
    elif saves == "bytes":
        assert effects["times fewer bytes"].value == (1000 / after[1] if after[1] else None)
        assert ("are not known" in treatment.reason) == (after[1] is None)
    else:
        assert not {"times faster", "times fewer bytes"} & set(effects)


def test_what_saves_nothing_does_not_help_on_test_either(tmp_path: Path) -> None:
    """Two that lose nothing, of which one makes the model smaller: on test, too, that one alone helps."""
    world = World(5, by_seed=0.0, residual=0.0)
    logits = world.model(0).logits
    bench = bench_of(world.subject(Slow(logits, 0.0, 1000)), tmp_path, delta=60.0)
    attempts = []
    for step, size in ((1, 250), (2, 250)):
        remedy = trains(
            lambda *_, step=step, size=size: Slow(logits + np.float32(step * 1e-6), 0.0, size),
            lambda *_: Slow(logits, 0.0, 1000),
            yardstick="tolerance",
            saves="bytes",
        )
        attempts.append(bench.attempt(remedy, a_finding(), 3))
    assert [a.treatment.verdict for a in attempts] == ["helps", "undetermined"]
    verification, proven = verify(bench.baseline, bench.present, attempts)
    assert verification.proven
    assert [t.verdict for t in proven] == ["helps", "undetermined"]


@pytest.mark.slow
def test_a_net_is_quantised_proven_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From audit to a saved ONNX file. Eight bits are planted to be faster than 32 in onnxruntime; that the file beats
    torch, whose many small layers cost most, is measured."""
    import torch
    from torch import nn

    from uncork import Recipe, Split, Subject, audit, load_treated, treat
    from uncork.gather import deployment
    from uncork.models.base import logits_of
    from uncork.models.onnx_model import OnnxModel
    from uncork.schema.errors import Unavailable
    from uncork.schema.finding import Estimate

    def build() -> nn.Module:
        layers = [nn.Conv2d(1, 4, 3, padding=1), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(12))]
        return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *layers, nn.Flatten(), nn.Linear(256, 2))

    def none_here(*_: Any) -> Any:
        raise Unavailable("none here")

    def scaled(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    rng = np.random.default_rng(0)
    x = rng.normal(size=(6600, 64)).astype(np.float32)
    x[:, 0] += 0.5 * np.sign(x[:, 0])  # beyond what rounding turns
    y = (x[:, 0] > 0).astype(np.int64)
    parts = {"train": slice(600), "validation": slice(600, 3600), "test": slice(3600, None)}
    splits = {name: Split(x[rows], y[rows]) for name, rows in parts.items()}
    net = build()
    with torch.no_grad():  # the first pixel, handed through
        for part in net.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.zero_()
                part.bias.zero_()
                part.weight[(0, 0, 1, 1) if isinstance(part, nn.Conv2d) else (1, 0)] = 1.0
    subject = Subject(net.eval(), recipe=Recipe(build, epochs=1), preprocess=scaled, **splits)
    monkeypatch.setattr(deployment, "SECONDS", 1.0)
    monkeypatch.setattr(deployment, "_compiled", none_here)
    monkeypatch.setattr(deployment, "peak_bytes", none_here)
    faster = Estimate(1.05, 1.04, 1.06, "times faster", 10, "planted")
    monkeypatch.setattr("uncork.remedies._faster.times_faster", lambda *_, **__: faster)
    monkeypatch.chdir(tmp_path)
    report = audit(subject, out="run", probes=["heavy-deployment"], pool="off")
    assert report.finding("heavy-deployment").verdict in ("bottleneck", "undetermined"), "by how busy the machine is"
    report = treat(report, remedies=["quantise"])
    (treatment,) = report.treatments
    assert (treatment.verdict, treatment.kept) == ("helps", True), (treatment.reason, treatment.realised)
    assert report.verification.proven
    assert "eight bits are 1.05 times as fast as 32" in treatment.reason
    saved = next(e.after for e in treatment.side_effects if e.name == "times faster")
    assert saved.low > 1
    loaded = load_treated("run", preprocess=scaled)
    assert isinstance(loaded.inner, OnnxModel)
    right = logits_of(loaded, splits["test"]).argmax(axis=1) == y[parts["test"]]
    assert right.mean() > 0.98
