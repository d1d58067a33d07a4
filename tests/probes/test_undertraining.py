"""undertraining: planted gains by more steps are found; luck and overfitting are not taken for them."""

from __future__ import annotations

from typing import Any

import pytest
from arms_helpers import null_pool
from scipy import stats

from uncork.probes.undertraining import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict

ARM = "steps-x4"


def given(pool: PoolData, metric: str = "error") -> dict[str, Any]:
    return {"pool": pool, "facts": facts(metric=Metric(metric))}


def test_keeps_the_contract() -> None:
    check_probe(
        measure,
        lambda: given(a_pool(1000, 1000, arms={ARM: -0.05}, confirmed=(ARM,))),
        null=lambda seed: given(null_pool(seed, (ARM,))),
        seeds=60,
    )


@pytest.mark.slow
def test_a_planted_gain_is_found_and_covered() -> None:
    """30 per 1,000. At a true 95 % fewer intervals than asked hold it with a chance of 1 in 1,000 (fixed seeds)."""
    held = []
    for seed in range(60):
        found = measure(**given(null_pool(seed, (ARM,), n=800, error=0.2, gain=0.03)), rng=generator(0)).headroom
        if found.value is not None:
            held.append(found.low <= 30 <= found.high)
    assert len(held) > 50
    assert sum(held) >= stats.binom.ppf(1e-3, len(held), 0.95)
    assert verdict(measure, given(null_pool(0, (ARM,), n=8000, error=0.2, gain=0.03))) == "bottleneck"


def test_train_and_validation_are_those_of_the_recipe() -> None:
    fits = measure(**given(a_pool(2000, 2000, error=0.2, arms={ARM: 0.1})), rng=generator(0)).estimates
    assert fits["train"].value == 0
    assert fits["validation"].low < 200 < fits["validation"].high
    short = a_pool(2000, 2000, error=0.2, arms={ARM: -0.1}, confirmed=(ARM,), memorised=False)
    found = measure(**given(short), rng=generator(0)).estimates
    assert found["train"].low < 200 < found["train"].high


def test_steps_that_lose_are_clear() -> None:
    assert verdict(measure, given(a_pool(2000, 2000, arms={ARM: 0.1}))) == "clear"


@pytest.mark.parametrize("metric", ["error", "log-loss"])
def test_not_confirmed_is_undetermined(metric: str) -> None:
    artifacts = given(a_pool(arms={ARM: -0.05}, left_out={"full": "the time given was used up"}), metric)
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom is None
    assert found.summary.endswith("the time given was used up.")
    assert verdict(measure, artifacts) == "undetermined"
    check_measurement(measure, found, artifacts)


@pytest.mark.parametrize("pool", [no_pool("no recipe"), a_pool(left_out={ARM: "no recipe"})])
def test_not_applicable_says_why(pool: PoolData) -> None:
    assert measure(**given(pool), rng=generator(0)) == NotApplicable("no recipe")
