"""scarce-data: a known curve is forecast, a flat one is no alarm, and what can't be forecast is withheld."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.scarce_data import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def rate(share: float) -> float:
    """The planted curve: errors at that share of train."""
    return 0.05 + 0.09 * share**-0.5


FALLING = {size: rate(1 / size) for size in (1, 2, 4, 8)}


def pool_of(v: int = 3000, **changes: Any) -> PoolData:
    return a_pool(n=320, v=v, quarters=4, eighths=8, **changes)


def given(pool: PoolData, metric: Any = "error", **known: Any) -> dict[str, Any]:
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    return {"pool": pool, "facts": facts(metric=metric, **known)}


def found(pool: PoolData, metric: Any = "error") -> Measurement | NotApplicable:
    return measure(**given(pool, metric), rng=generator(0))


def test_keeps_the_contract() -> None:
    check_probe(
        measure,
        lambda: given(pool_of(500, error=FALLING)),
        null=lambda seed: given(pool_of(1000, seed=seed)),
        seeds=10,
    )
    groups = np.arange(500) // 5
    check_probe(measure, lambda: given(pool_of(500, error=FALLING, validation_clusters=groups), "log-loss"))


def test_a_falling_curve_is_worth_more_rows() -> None:
    assert verdict(measure, given(pool_of(error=FALLING))) == "bottleneck"
    measured = found(pool_of(error=FALLING))
    assert measured.headroom == measured.estimates["gain_at_2x"]
    level = measured.estimates["level"]
    assert level.low <= 1000 * rate(1) <= level.high


def test_a_flat_curve_with_much_evidence_is_clear() -> None:
    assert verdict(measure, given(pool_of(20_000, error=0.02))) == "clear"


def test_forecasts_cover_the_planted_curve() -> None:
    """At a true 95 %, 20 forecasts hold the truth less often than the region's end with a chance of 1 in 1,000 (fixed
    seeds)."""
    covered = np.zeros(2)
    for seed in range(20):
        estimates = found(pool_of(error=FALLING, seed=seed)).estimates
        for i, factor in enumerate((2, 4)):
            gain = estimates[f"gain_at_{factor}x"]
            covered[i] += gain.low <= 1000 * (rate(1) - rate(factor)) <= gain.high
    assert covered.min() >= stats.binom.ppf(1e-3, 20, 0.95)


def test_the_curve_passes_through_what_was_seen() -> None:
    pool = pool_of(error=FALLING)
    curve, table = found(pool).details
    for rows, models, seen in table.data["rows"]:
        size = 320 // rows
        wrong = [pool.validation_pass(i).predicted != pool.validation_y for i in pool.members(size)]
        assert models == len(wrong)
        assert seen == pytest.approx(1000 * np.mean(wrong), abs=1e-3)
        at = int(np.argmin(np.abs(np.array(curve.data["x"]) - rows)))
        assert curve.data["x"][at] == pytest.approx(rows)
        assert curve.data["low"][at] - 15 <= seen <= curve.data["high"][at] + 15
    assert max(curve.data["x"]) == pytest.approx(4 * 320)


def test_a_metric_that_rises_gains_the_same() -> None:
    pool = pool_of(error=FALLING)
    error, accuracy = found(pool), found(pool, "accuracy")
    for end in ("value", "low", "high"):
        assert getattr(accuracy.headroom, end) == pytest.approx(getattr(error.headroom, end))
    assert accuracy.estimates["level"].value == pytest.approx(1000 - error.estimates["level"].value)
    rising = accuracy.details[0].data
    assert rising["low"][0] < rising["y"][0] < rising["high"][0]
    assert rising["y"][-1] > rising["y"][0]


def test_regression() -> None:
    pool = pool_of(600)
    rng = np.random.default_rng(0)
    y, own = rng.normal(size=600), rng.normal(size=600)
    noise = 2 * np.sqrt(pool.size)[:, None] * rng.normal(size=(len(pool), 600)) / 3
    values = (y + own + noise)[:, :, None].astype(np.float32)
    pool = dataclasses.replace(pool, task="regression", validation_y=y, on_validation=values)
    artifacts = given(pool, "rmse", task="regression", classes=())
    check_probe(measure, lambda: artifacts)
    assert measure(**artifacts, rng=generator(0)).headroom.value > 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"matched": False}, "same number of optimiser steps"),
        ({"steps": np.full(23, 299)}, "299 optimiser steps"),
        ({"steps": np.zeros(23, int)}, "same number of optimiser steps"),
    ],
)
def test_withheld_where_the_curve_is_that_of_training(changes: dict[str, Any], why: str) -> None:
    outcome = found(pool_of(300, **changes))
    assert isinstance(outcome, NotApplicable)
    assert why in outcome.reason


def test_withheld_where_something_is_missing() -> None:
    assert found(no_pool("no recipe")) == NotApplicable("no recipe")
    outcome = found(a_pool(quarters=4, left_out={"eighths": "it costs too much"}))
    assert isinstance(outcome, NotApplicable)
    assert "eighths: it costs too much" in outcome.reason
    mine = Metric(lambda p, y: 0.0, higher_is_better=False, name="mine")
    assert isinstance(found(pool_of(300), mine), NotApplicable)
