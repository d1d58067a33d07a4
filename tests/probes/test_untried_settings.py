from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.probes.untried_settings import measure
from uncork.schema.finding import Measurement
from uncork.schema.metric import Metric
from uncork.testing.artifacts import facts
from uncork.testing.probes import check_probe, verdict
from uncork.testing.tuning_trials import tuning_trials


def given(metric: str = "error", **known: Any) -> dict[str, Any]:
    return {"trials": tuning_trials(**known), "facts": facts(metric=Metric(metric))}


def found(**known: Any) -> Measurement:
    return measure(**given(**known), rng=np.random.default_rng(0))


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    check_probe(measure, given, null=lambda seed: given(gain=0.0, seed=seed))


@pytest.mark.parametrize(("gain", "expected"), [(0.05, "bottleneck"), (-0.05, "clear"), (0.004, "undetermined")])
def test_verdicts(gain: float, expected: str) -> None:
    assert verdict(measure, given(gain=gain)) == expected


def test_the_gain_is_covered() -> None:
    """Truth: .05 of the rows whose outcome a training's churn of 1 % spares. 60 draws; below 50: chance 2e-4."""
    truth = 1000 * 0.05 * (1 - 2 * 0.01)
    ends = [found(seed=s, n=500).headroom for s in range(60)]
    assert sum(e.low <= truth <= e.high for e in ends) >= 50


def test_what_matters_is_named_first() -> None:
    known = found()
    rows = known.details[1].data["rows"]
    assert [row[0] for row in rows] == ["learning rate", "weight decay"]
    assert [row[3] for row in rows] == ["yes", "can't tell"]
    assert "What matters: learning rate." in known.summary


def test_the_curve_and_what_is_left() -> None:
    known = found()
    curve = known.details[0].data
    assert curve["x"][-1] == 48
    values = [y for y in curve["y"] if y is not None]
    assert values == sorted(values, reverse=True)
    assert known.estimates["gain_of_more"].low == 0
    assert 0 < known.estimates["gain_of_more"].value < known.estimates["gain_of_more"].high
    assert "12 further trials are expected to gain about" in known.summary
    assert "no more than" in found(error=0.2, trials=4).summary


def test_what_is_not_known_is_said() -> None:
    data = tuning_trials()
    missing = dataclasses.replace(
        data,
        importance=np.zeros(0),
        importance_null=np.zeros((0, 2)),
        unimportant="pip install 'uncork[tune]'",
        outputs=data.outputs[:, :0],
        scores=np.where(np.arange(24) < 12, np.inf, data.scores),
    )
    known = measure(trials=missing, facts=facts(), rng=np.random.default_rng(0))
    assert known.headroom is None
    assert "uncork[tune]" in known.summary
    assert verdict(measure, {"trials": missing, "facts": facts()}) == "undetermined"
    higher = measure(**given(metric="accuracy"), rng=np.random.default_rng(0))
    assert higher.headroom.value == pytest.approx(found().headroom.value)
