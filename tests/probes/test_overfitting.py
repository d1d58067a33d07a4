"""overfitting: the gap is that of the populations, and bounds are all it claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.overfitting import measure
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import a_pass, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(
    train: PassData, validation: PassData, metric: str = "error", pool: PoolData | None = None, **known: Any
) -> dict[str, Any]:
    known_ = facts(metric=Metric(metric), **known)
    return {"train": train, "validation": validation, "pool": no_pool() if pool is None else pool, "facts": known_}


def test_keeps_the_contract_and_never_proves_a_bottleneck(drawn: Any) -> None:
    y = np.arange(800) % 2
    check_probe(
        measure,
        lambda: given(a_pass(900, error=0.02), a_pass(700, error=0.1)),
        null=lambda seed: given(drawn(y, 0.1, 2 * seed), drawn(y, 0.1, 2 * seed + 1)),
        seeds=40,
    )
    assert verdict(measure, given(a_pass(5000, error=0.0), a_pass(5000, error=0.4))) == "undetermined"


@pytest.mark.parametrize(("metric", "sign"), [("error", 1), ("accuracy", 1)])
def test_gap_is_positive_where_train_is_better(metric: str, sign: int) -> None:
    found = measure(**given(a_pass(2000, error=0.05), a_pass(1000, error=0.2), metric), rng=generator(0))
    assert found.estimates["gap"].value == pytest.approx(150 * sign)
    assert found.headroom.low == 0
    assert found.headroom.high == pytest.approx(found.estimates["gap"].high)


def test_summary_gives_intervals() -> None:
    """0 of 1,000 and 58 of 1,000, Clopper–Pearson."""
    found = measure(**given(a_pass(1000, error=0.0), a_pass(1000, error=0.058)), rng=generator(0))
    assert found.summary == "error on train 0 (0 to 4), on validation 58 (44 to 74), errors per 1,000."
    nats = measure(**given(a_pass(900, error=0.1), a_pass(900, error=0.1), "log-loss"), rng=generator(0))
    low, high = (f"{getattr(nats.estimates['train'], end):.3g}" for end in ("low", "high"))
    assert f"({low} to {high})" in nats.summary


def test_gap_covers_the_truth(drawn: Any) -> None:
    """True gap 60 per 1,000. At a true 95 %, 200 intervals cover less often than at 179 with a chance of
    1 in 1,000 (fixed seeds)."""
    seen, new = np.arange(900) % 2, np.arange(600) % 2
    covered = 0
    for seed in range(200):
        found = measure(**given(drawn(seen, 0.04, 2 * seed), drawn(new, 0.1, 2 * seed + 1)), rng=generator(seed))
        covered += found.estimates["gap"].low <= 60 <= found.estimates["gap"].high
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)


def test_clear_is_not_said_of_a_gap_as_large_as_delta(drawn: Any) -> None:
    """True gap = δ = 5 per 1,000: clear is wrong, and comes at ≤ 2.5 %. 60 draws exceed 6 once in 1,000 (fixed
    seeds)."""
    y = np.arange(20_000) % 2
    wrong = sum(
        verdict(measure, given(drawn(y, 0.02, 2 * s), drawn(y, 0.025, 2 * s + 1))) == "clear" for s in range(60)
    )
    assert wrong <= stats.binom.ppf(1 - 1e-3, 60, 0.025)


def test_no_gap_with_much_evidence_is_clear() -> None:
    assert verdict(measure, given(a_pass(20_000, error=0.02), a_pass(20_000, error=0.02, seed=1))) == "clear"


def test_better_on_validation_bounds_the_headroom_by_something() -> None:
    """A gap below zero is luck or an easier validation; the headroom is still not known to be exactly nothing."""
    artifacts = given(a_pass(4000, error=0.2), a_pass(4000, error=0.1))
    found = measure(**artifacts, rng=generator(0))
    assert found.estimates["gap"].high < 0
    assert found.headroom.low == 0 < found.headroom.high
    assert verdict(measure, given(a_pass(40_000, error=0.03), a_pass(40_000, error=0.01))) == "clear"


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_regression(metric: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)
    train, new = PassData.of_values(y + rng.normal(size=4000), y), PassData.of_values(y + rng.normal(0, 2, 4000), y)
    artifacts = given(train, new, metric, task="regression", classes=())
    found = measure(**artifacts, rng=generator(0))
    truth = 1.0 if metric == "rmse" else np.sqrt(2 / np.pi)
    assert found.estimates["gap"].low <= truth <= found.estimates["gap"].high
    check_probe(measure, lambda: artifacts)


def test_a_callable_metric_does_not_depend_on_the_order_of_rows() -> None:
    metric = Metric(lambda p, y: float(np.mean(p.argmax(axis=1) != y)), higher_is_better=False, name="mine")
    known = facts(metric=metric)
    passes = {"train": a_pass(40, error=0.1), "validation": a_pass(30, error=0.2)}
    check_probe(measure, lambda: {**passes, "pool": no_pool(), "facts": known})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["error", "log-loss"])
def test_edge_cases(edge: PassData, metric: str) -> None:
    artifacts = given(a_pass(200, error=0.05), edge, metric)
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)


def test_a_confirmed_gain_by_weight_decay_is_the_headroom() -> None:
    """Planted: 50 per 1,000. The gap, three times as large, no longer stands for what is to be had."""
    pool = a_pool(3000, 3000, error=0.2, arms={"decay-x30": -0.05}, confirmed=("decay-x30",))
    artifacts = given(a_pass(3000, error=0.05), a_pass(3000, error=0.2), pool=pool)
    check_probe(measure, lambda: artifacts)
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom.low < 50 < found.headroom.high < found.estimates["gap"].low
    assert "30 times the weight decay the recipe gains" in found.summary
    assert verdict(measure, artifacts) == "bottleneck"


def test_weight_decay_that_gains_nothing_leaves_the_whole_gap() -> None:
    """Another way to regularise may still gain: the screen's upper end bounds this one only."""
    pool = a_pool(3000, 3000, error=0.2, arms={"decay-x30": 0.05})
    artifacts = given(a_pass(3000, error=0.05), a_pass(3000, error=0.2), pool=pool)
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom.value is None
    assert found.headroom.high == pytest.approx(found.estimates["gap"].high)
    assert "gains nothing at half size" in found.summary
    assert verdict(measure, artifacts) == "undetermined"


def test_a_pool_does_not_change_what_is_known_without_it() -> None:
    artifacts = given(a_pass(3000, error=0.05), a_pass(3000, error=0.2))
    alone = measure(**artifacts, rng=generator(0))
    left_out = {"decay-x30": "the recipe is a callable"}
    assert measure(**{**artifacts, "pool": a_pool(left_out=left_out)}, rng=generator(0)) == alone
