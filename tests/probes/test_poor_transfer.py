"""poor-transfer: a better encoder is found, an equal one is not, and what is left out is said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from uncork import Metric
from uncork.probes.poor_transfer import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Measurement
from uncork.testing.artifacts import a_pass, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.poor_transfer import a_transfer
from uncork.testing.probes import check_probe, verdict


def artifacts(error: float = 0.1, n: int = 1000, **settings: Any) -> dict[str, Any]:
    known = facts(metric=settings.pop("metric", Metric("error")))
    return {
        "validation": a_pass(n, error=0.2, seed=1),
        "transfer": a_transfer(n, error=error, **settings),
        "facts": known,
    }


def found(**settings: Any) -> Measurement:
    outcome = measure(**artifacts(**settings), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def test_a_better_encoder_is_found() -> None:
    """200 of 1,000 wrong by the model and the recipe, 100 by the backbone; few rows: 500 against 300."""
    planted = found()
    assert planted.headroom.value == pytest.approx(100)
    assert planted.estimates["gain_over_recipe"].value == pytest.approx(100)
    assert planted.estimates["own_head_gain"].value == pytest.approx(0)
    for rung in (1, 5, 20):
        assert planted.estimates[f"gain_at_{rung}"].value == pytest.approx(200)
    assert verdict(measure, artifacts()) == "bottleneck"
    assert planted.summary.startswith("Of 2 backbones near, frozen, did best")


def test_an_equal_one_is_not_and_a_worse_one_is_clear() -> None:
    assert verdict(measure, artifacts(error=0.2)) == "undetermined"
    assert verdict(measure, artifacts(error=0.4)) == "clear"


def test_keeps_the_contract() -> None:
    check_probe(measure, lambda: artifacts(n=500))


@pytest.mark.slow
def test_few_false_alarms() -> None:
    check_probe(measure, lambda: artifacts(n=500), null=lambda seed: artifacts(n=500, error=0.2, seed=seed))


def test_without_a_recipe_and_with_a_short_list() -> None:
    """Nothing from scratch, and a table that says what was not tried."""
    nothing = np.zeros((0, 1000, 2), np.float32)
    bare = found(
        backbones=("a", "b", "c"),
        screened=(90.0, math.nan, 200.0),
        evidence=(0.1, -0.4, -0.2),
        rungs=(),
        few_frozen=nothing[:, None],
        few_recipe=nothing[:, None],
        own=nothing,
        left_out={"recipe": "nothing can be trained from scratch"},
    )
    rows = bare.details[0].data["rows"]
    assert rows[1] == ["b", "frozen", None, -0.4]
    assert len(bare.details) == 1
    assert set(bare.estimates) == {"model", "backbone", "gain_over_recipe"}
    check_measurement(measure, bare, artifacts())


def test_regressions() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    known = facts(task="regression", metric=Metric("rmse", delta=0.01), classes=())
    values = {name: (y + rng.normal(0, s, 400))[None, :, None] for name, s in (("made", 0.1), ("own", 0.3), ("m", 0.3))}
    few = dict.fromkeys(("few_frozen", "few_recipe"), np.zeros((0, 3, 400, 1)))
    three = np.concatenate([values["m"]] * 3)
    outputs = {"made": values["made"], "own": values["own"], "members": three, "rungs": (), **few}
    transfer = a_transfer(400, task="regression", y=y, **outputs)
    mine = PassData.of_values(y + rng.normal(0, 0.3, 400), y)
    better = measure(validation=mine, transfer=transfer, facts=known, rng=rng)
    assert better.headroom.low > 0.15


@pytest.mark.slow
def test_callables_by_bootstrap() -> None:
    own = Metric(lambda p, y: float((p.argmax(axis=1) == y).mean()), higher_is_better=True, delta=0.01)
    assert found(metric=own).headroom.low > 0.05
