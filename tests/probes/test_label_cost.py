"""label-cost: a strategy that surely buys more, three that don't, and what is said where labels can't be counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork import Metric
from uncork.probes.label_cost import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.testing.artifacts import facts
from uncork.testing.label_cost import a_label_cost
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict


def found(known: dict[str, Any] | None = None, **settings: Any) -> Measurement:
    outcome = measure(cost=a_label_cost(**settings), facts=facts(**(known or {})), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def test_planted_worth_is_counted() -> None:
    """300 labels by badge err on .25, which random ones reach at 300 · 2^.5 = 424 of them: 1.41 times as many.

    The level is .983: one in 60 draws misses; the seed is fixed."""
    planted = found(chosen={"badge": 0.25}, spread=0.004, v=2000)
    assert planted.headroom.low < 2**0.5 < planted.headroom.high
    assert planted.headroom.low > 1.1
    assert planted.estimates["gain"].low > 5
    assert planted.estimates["gain"].level == pytest.approx(1 - 0.05 / 3)
    assert "badge" in planted.summary
    # 10 fewer of 1,000 wrong, of the 100 fewer that 150 labels buy at random, and of the 150 fewer by badge.
    points = planted.estimates
    assert points["next_point_random"].low < 150 * (2**0.1 - 1) < points["next_point_random"].high
    assert points["next_point_chosen"].value < points["next_point_random"].value
    artifacts = {"cost": a_label_cost(chosen={"badge": 0.25}, spread=0.004), "facts": facts()}
    assert verdict(measure, artifacts) == "bottleneck"


@pytest.mark.slow
def test_strategies_like_chance_are_worth_1() -> None:
    """Of 20 draws 1.0 lies in all but one or two at .983; the chance of fewer than 17 is below 1 in 1,000. The best of
    three is picked, which is what the level is for."""
    held = 0
    for seed in range(20):
        headroom = found(seed=seed, v=300, spread=0.01).headroom
        held += (headroom.low or 0) <= 1 <= (headroom.high or np.inf)
    assert held >= 17


def test_keeps_the_contract() -> None:
    check_probe(measure, lambda: {"cost": a_label_cost(v=300, chosen={"margin": 0.2}), "facts": facts()})


@pytest.mark.slow
def test_few_false_alarms() -> None:
    check_probe(
        measure,
        lambda: {"cost": a_label_cost(v=300, chosen={"margin": 0.2}), "facts": facts()},
        null=lambda seed: {"cost": a_label_cost(v=300, seed=seed), "facts": facts()},
    )


def test_worth_beyond_what_was_bought_is_left_open() -> None:
    beyond = found(chosen={"margin": 0.1})
    assert (beyond.headroom.value, beyond.headroom.high) == (None, None)
    assert beyond.headroom.low == 2.0
    assert "an unknown number" in beyond.summary
    check_measurement(measure, beyond, {"cost": a_label_cost(), "facts": facts()})


@pytest.mark.slow
def test_other_metrics() -> None:
    v = 300
    for metric in ("accuracy", "log-loss"):
        outcome = found({"metric": Metric(metric)}, v=v, chosen={"badge": 0.2})
        assert outcome.estimates["gain"].value > 0
        assert outcome.headroom.low > 1
    own = Metric(lambda p, y: float(p.mean()), higher_is_better=True, delta=0.1)
    said = measure(cost=a_label_cost(v=v), facts=facts(metric=own), rng=np.random.default_rng(0))
    assert isinstance(said, NotApplicable)
