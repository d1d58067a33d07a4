from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.derived.idle_parts import least, losses
from uncork.probes.idle_parts import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.testing.artifacts import facts
from uncork.testing.idle_parts import idle_parts
from uncork.testing.probes import check_probe, verdict

BLOCKS = {"a": 0.05, "b": 0.08, "c": 0.1}


def given(blocks: dict[str, float] | None = None, arms: dict[str, float] | None = None, **known: Any) -> dict[str, Any]:
    return {"parts": idle_parts(blocks, arms, **known), "facts": facts()}


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    """Null: two blocks without which the error grows by just δ, 5 per 1,000: idle they may not be called."""
    null = dict.fromkeys("ab", 0.005)
    check_probe(measure, lambda: given(BLOCKS, {"weight decay": 0.0}), null=lambda seed: given(null, seed=seed))


@pytest.mark.parametrize(
    ("blocks", "arms", "expected"),
    [
        (BLOCKS | {"idle": 0.0}, {}, "bottleneck"),
        (BLOCKS, {}, "clear"),
        (BLOCKS, {"weight decay": 0.1, "block a": 0.1}, "clear"),
        (BLOCKS, {"dropout": 0.0, "weight decay": 0.1, "block a": 0.05}, "bottleneck"),
        (BLOCKS | {"middling": 0.005}, {}, "undetermined"),
    ],
)
def test_verdicts(blocks: dict[str, float], arms: dict[str, float], expected: str) -> None:
    assert verdict(measure, given(blocks, arms, n=5000)) == expected


def test_what_is_idle_is_listed_with_its_price() -> None:
    found = measure(**given(BLOCKS | {"idle": 0.0}, {"block idle": 0.0}), rng=np.random.default_rng(0))
    rows = {(row[0], row[1]): row for row in found.details[0].data["rows"]}
    assert rows["idle", "passed over"][2] == 0
    assert rows["idle", "passed over"][5] == "idle"
    assert rows["a", "passed over"][5] == "missed"
    assert found.headroom.low > 1.2
    assert found.estimates["times_fewer_parameters"].value == 500 / 400
    assert found.summary.startswith("Of what is passed over these rows resolve a loss of ")
    assert "idle (passed over: loss of 0 (" in found.summary


def test_a_metric_keeps_its_name() -> None:
    found = measure(**given(BLOCKS) | {"facts": facts(metric=Metric("auc"))}, rng=np.random.default_rng(0))
    assert " AUC" in found.summary


@pytest.mark.slow
def test_losses_are_held_together() -> None:
    """Four blocks and three arms: all truths at once, in 100 draws at a nominal 95 %. Below 85: chance 1e-4."""
    blocks, arms = {"a": 0.0, "b": 0.01, "c": 0.03, "d": 0.1}, {"x": 0.0, "y": 0.02, "z": 0.05}
    truth = [1000 * (hi - lo) for lo, hi in _shares(blocks, arms)]
    held = smallest = 0
    for seed in range(100):
        found = losses(idle_parts(blocks, arms, n=800, churn=0.02, seed=seed), Metric("error"))
        ends = [(part.loss.low, part.loss.high) for part in found]
        held += all(low <= t <= high for t, (low, high) in zip(truth, ends, strict=True))
        floor = least(found)
        smallest += floor.low <= 0 <= floor.high
    assert held >= 85
    assert smallest >= 85


def _shares(blocks: dict[str, float], arms: dict[str, float]) -> list[tuple[float, float]]:
    """Expected error with and without; a training's churn turns 2 % of the rows over."""
    turned = 1 - 2 * 0.02
    return [(0.1, 0.1 + more) for more in blocks.values()] + [
        (0.1 * turned, (0.1 + more) * turned) for more in arms.values()
    ]


def test_few_rows_prove_nothing() -> None:
    found = measure(**given({"idle": 0.0, "other": 0.1}, n=100), rng=np.random.default_rng(0))
    assert "too coarse for any claim" in found.summary
    assert "None of 2 parts is surely idle." in found.summary
    assert found.headroom is None


def test_not_applicable() -> None:
    nothing = dataclasses.replace(idle_parts(), blocks=(), left_out={"arms": "no recipe"})
    outcome = measure(parts=nothing, facts=facts(), rng=np.random.default_rng(0))
    assert outcome == NotApplicable("there is nothing to leave out: no recipe")
    custom = facts(metric=Metric(lambda p, y: 0.0, higher_is_better=False))
    assert isinstance(measure(parts=idle_parts(), facts=custom, rng=np.random.default_rng(0)), NotApplicable)


def test_regression() -> None:
    """Without a block predictions are noisier: √1.25 instead of 1."""
    rng, y = np.random.default_rng(0), np.random.default_rng(1).normal(size=3000)
    noise = rng.normal(size=(3, 3000)) * np.array([1.0, 0.0, 0.5])[:, None]
    noise[1:] += noise[0]
    data = dataclasses.replace(
        idle_parts(),
        task="regression",
        y=y,
        outputs=(y + noise)[:, :, None].astype(np.float32),
        clusters=np.arange(3000),
    )
    found = measure(parts=data, facts=facts(metric=Metric("rmse", delta=0.02), task="regression"), rng=rng)
    rows = {row[0]: row for row in found.details[0].data["rows"]}
    assert rows["1"][2] == pytest.approx(0)
    assert rows["2"][3] < np.sqrt(1.25) - 1 < rows["2"][4]
