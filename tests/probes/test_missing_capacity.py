"""missing-capacity: a planted gain by width is found, luck is not; a build without width is told to take one."""

from __future__ import annotations

from typing import Any

from arms_helpers import null_pool
from scipy import stats

from uncork.probes.missing_capacity import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict

ARM = "width-x4"
SIZES = {"": 1234, ARM: 19_000}


def given(pool: PoolData, metric: str = "error") -> dict[str, Any]:
    return {"pool": pool, "facts": facts(metric=Metric(metric))}


def test_keeps_the_contract() -> None:
    check_probe(
        measure,
        lambda: given(a_pool(1000, 1000, arms={ARM: -0.05}, confirmed=(ARM,), parameters=SIZES)),
        null=lambda seed: given(null_pool(seed, (ARM,))),
        seeds=60,
    )


def test_a_planted_gain_is_found_and_covered() -> None:
    """30 per 1,000. At a true 95 % fewer intervals than asked hold it with a chance of 1 in 1,000 (fixed seeds)."""
    held = []
    for seed in range(60):
        found = measure(**given(null_pool(seed, (ARM,), n=800, error=0.2, gain=0.03)), rng=generator(0)).headroom
        if found.value is not None:
            held.append(found.low <= 30 <= found.high)
    assert len(held) > 50
    assert sum(held) >= stats.binom.ppf(1e-3, len(held), 0.95)
    assert verdict(measure, given(null_pool(0, (ARM,), n=8000, error=0.2, gain=0.03), "log-loss")) == "bottleneck"


def test_parameters_are_told() -> None:
    found = measure(**given(a_pool(arms={ARM: 0.1}, parameters=SIZES)), rng=generator(0))
    assert found.summary.endswith(" Parameters: 1,234, and 19,000 with that width.")
    assert "Parameters" not in measure(**given(a_pool(arms={ARM: 0.1})), rng=generator(0)).summary


def test_width_that_gains_nothing_is_clear() -> None:
    assert verdict(measure, given(a_pool(2000, 2000, arms={ARM: 0.1}))) == "clear"


def test_not_confirmed_is_undetermined() -> None:
    artifacts = given(a_pool(arms={ARM: -0.05}, left_out={"full": "the time given was used up"}))
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom is None
    assert verdict(measure, artifacts) == "undetermined"
    check_measurement(measure, found, artifacts)


def test_not_applicable_says_how_to_mend_it() -> None:
    mend = "recipe.build takes no width: let it be build(width=...)"
    assert measure(**given(a_pool(left_out={ARM: mend})), rng=generator(0)) == NotApplicable(mend)
    assert measure(**given(no_pool("no recipe")), rng=generator(0)) == NotApplicable("no recipe")
