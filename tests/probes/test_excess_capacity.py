"""excess-capacity: a factor is claimed only where the narrow net's loss is surely below δ."""

from __future__ import annotations

from typing import Any

import pytest
from arms_helpers import null_pool
from scipy import stats

from uncork.probes.excess_capacity import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict

ARM = "width-over-4"
SIZES = {"": 16_000, ARM: 1000}


def given(pool: PoolData, metric: str = "error") -> dict[str, Any]:
    return {"pool": pool, "facts": facts(metric=Metric(metric))}


def null_of(seed: int, n: int, error: float, loss: float) -> PoolData:
    pool = null_pool(seed, (ARM,), n=n, error=error, gain=-loss)
    pool.parameters.update(SIZES)
    return pool


def test_keeps_the_contract() -> None:
    """Null: a narrow net that loses just δ = 5 per 1,000. To claim that it loses less is the false alarm."""
    check_probe(
        measure,
        lambda: given(null_of(0, 1000, 0.05, 0.0)),
        null=lambda seed: given(null_of(seed, 4000, 0.01, 0.005)),
        seeds=60,
    )


def test_a_narrow_net_that_does_as_well_is_claimed_with_its_factor() -> None:
    artifacts = given(null_of(1, 20_000, 0.01, 0.0))
    found = measure(**artifacts, rng=generator(0))
    assert (found.headroom.value, found.headroom.low, found.headroom.unit) == (16.0, 16.0, "times fewer parameters")
    assert verdict(measure, artifacts) == "bottleneck"
    assert found.summary.startswith("These rows and seeds resolve a loss of ")
    assert "too coarse" not in found.summary
    check_measurement(measure, found, artifacts)


def test_few_rows_claim_nothing() -> None:
    artifacts = given(null_of(1, 400, 0.1, 0.0))
    found = measure(**artifacts, rng=generator(0))
    assert (found.headroom.value, found.headroom.low, found.headroom.high) == (None, 1.0, 16.0)
    assert verdict(measure, artifacts) == "undetermined"
    assert "too coarse for any claim" in found.summary


def test_a_width_that_is_needed_is_clear() -> None:
    """Confirmed, as the screen has few rows; and dropped by the screen where it has more."""
    for rows, loss in ((8000, 0.02), (8000, 0.2)):
        artifacts = given(null_of(0, rows, 0.1, loss))
        found = measure(**artifacts, rng=generator(0))
        assert found.headroom is None
        assert verdict(measure, artifacts) == "clear"
        check_measurement(measure, found, artifacts)
    assert found.against.estimate == "loss_at_half_size"


def test_the_loss_covers_the_truth() -> None:
    """10 per 1,000. At a true 95 % fewer intervals than asked hold it with a chance of 1 in 1,000 (fixed seeds)."""
    losses = [measure(**given(null_of(s, 800, 0.1, 0.01)), rng=generator(0)).estimates.get("loss") for s in range(60)]
    held = [loss.low <= 10 <= loss.high for loss in losses if loss is not None]
    assert len(held) > 50
    assert sum(held) >= stats.binom.ppf(1e-3, len(held), 0.95)


@pytest.mark.parametrize("metric", ["error", "log-loss"])
def test_not_confirmed_is_undetermined(metric: str) -> None:
    artifacts = given(a_pool(arms={ARM: 0.0}, left_out={"full": "the time given was used up"}), metric)
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom is None
    assert verdict(measure, artifacts) == "undetermined"
    check_measurement(measure, found, artifacts)


def test_without_parameters_there_is_a_verdict_but_no_factor() -> None:
    artifacts = given(null_pool(1, (ARM,), n=20_000, error=0.01))
    assert measure(**artifacts, rng=generator(0)).headroom is None
    assert verdict(measure, artifacts) == "bottleneck"


def test_not_applicable_says_how_to_mend_it() -> None:
    mend = "recipe.build takes no width: let it be build(width=...)"
    assert measure(**given(a_pool(left_out={ARM: mend})), rng=generator(0)) == NotApplicable(mend)
    assert measure(**given(no_pool("no recipe")), rng=generator(0)) == NotApplicable("no recipe")
