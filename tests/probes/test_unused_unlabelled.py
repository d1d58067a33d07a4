"""unused-unlabelled: rows that teach are found and counted in labels, rows that don't are worth 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork import Metric
from uncork.probes.unused_unlabelled import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict
from uncork.testing.unused_unlabelled import an_unlabelled


def found(**settings: Any) -> Measurement:
    outcome = measure(unlabelled=an_unlabelled(**settings), facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def test_planted_worth_is_counted() -> None:
    """200 labels with the rows err on .25, which 200 · 2^.5 alone reach; 400 gain 60 of 1,000. Seed fixed; each
    interval misses in one draw of 20."""
    planted = found(half=0.25, whole=0.14, v=4000)
    assert planted.estimates["multiplier"].low < 2**0.5 < planted.estimates["multiplier"].high
    assert planted.estimates["multiplier"].low > 1.1
    assert planted.headroom.low < 60 < planted.headroom.high
    assert planted.estimates["pseudo_label_gain"] == planted.headroom
    made = {"unlabelled": an_unlabelled(half=0.25, whole=0.14, v=4000), "facts": facts()}
    assert verdict(measure, made) == "bottleneck"


@pytest.mark.slow
def test_rows_that_teach_nothing_are_worth_1() -> None:
    """At .95 fewer than 15 of 20 has a chance below 1 in 1,000."""
    held = 0
    for seed in range(20):
        times = found(seed=seed, v=300).estimates["multiplier"]
        held += (times.low or 0) <= 1 <= (times.high or np.inf)
    assert held >= 15


def test_too_few_rows_of_validation_settle_nothing() -> None:
    made = {"unlabelled": an_unlabelled(100, whole=0.18), "facts": facts()}
    assert verdict(measure, made) == "undetermined"


def test_keeps_the_contract() -> None:
    check_probe(measure, lambda: {"unlabelled": an_unlabelled(300, half=0.2, whole=0.1), "facts": facts()})


@pytest.mark.slow
def test_few_false_alarms() -> None:
    check_probe(
        measure,
        lambda: {"unlabelled": an_unlabelled(300, half=0.2, whole=0.1), "facts": facts()},
        null=lambda seed: {"unlabelled": an_unlabelled(300, seed=seed), "facts": facts()},
    )


def test_without_half_of_train_nothing_is_counted() -> None:
    left_out = {"pseudo-label on half of train": "no unlabelled row is foretold"}
    bare = found(with_half=np.zeros((0, 2000, 3), np.float32), left_out=left_out)
    assert "multiplier" not in bare.estimates
    assert "no unlabelled row is foretold" in bare.details[0].note
    check_measurement(measure, bare, {"unlabelled": an_unlabelled(), "facts": facts()})


def test_a_callable_metric_has_no_part_a_row() -> None:
    own = Metric(lambda p, y: float(p.mean()), higher_is_better=True, delta=0.1)
    said = measure(unlabelled=an_unlabelled(), facts=facts(metric=own), rng=np.random.default_rng(0))
    assert isinstance(said, NotApplicable)
    with pytest.raises(AttributeError):
        _ = said.headroom
