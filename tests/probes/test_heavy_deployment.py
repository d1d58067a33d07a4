from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.derived.deployment import fastest, throughput
from uncork.probes.heavy_deployment import measure
from uncork.schema.finding import Measurement
from uncork.schema.subject import REQUIREMENTS
from uncork.testing.artifacts import facts
from uncork.testing.deployment import deployment
from uncork.testing.probes import check_probe, verdict


def given(faster: float = 3.0, most: float | None = None, **changes: Any) -> dict[str, Any]:
    require = dict(REQUIREMENTS) | ({} if most is None else {"latency_ms": most})
    return {"deployment": deployment(faster=faster, **changes), "facts": facts(require=require)}


def found(artifacts: dict[str, Any]) -> Measurement:
    made = measure(**artifacts, rng=np.random.default_rng(0))
    assert isinstance(made, Measurement)
    return made


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    """Null: an engine that is just as much faster as is tolerated."""
    check_probe(measure, given, null=lambda seed: given(1.25, seed=seed))


@pytest.mark.parametrize("faster", [1.5, 2.0, 4.0])
def test_the_factor_is_covered(faster: float) -> None:
    """100 draws at a nominal 95 %; below 86 of a true 95 %: chance 2e-4."""
    factors = [fastest(deployment(faster=faster, seed=s))[2] for s in range(100)]
    assert sum(e.low <= faster <= e.high for e in factors) >= 86


@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        ({"faster": 3.0}, "bottleneck"),
        ({"faster": 1.1}, "clear"),
        ({"faster": 0.5}, "clear"),  # the model as it is is the fastest
        ({"faster": 3.0, "flips": 1}, "clear"),  # one that decides otherwise is no engine for it
        ({"faster": 3.0, "most": 3.0}, "clear"),  # on two threads a row takes 1 ms, and 1.26 at the 99th percentile
        ({"faster": 1.0, "most": 1.1}, "bottleneck"),
        ({"faster": 1.0, "most": 1.25, "runs": 100}, "undetermined"),  # no upper end of p99
    ],
)
def test_verdicts(artifacts: dict[str, Any], expected: str) -> None:
    assert verdict(measure, given(**artifacts)) == expected


def test_an_engine_is_chosen_on_other_runs_than_it_is_compared_on() -> None:
    """Of seven engines that are equally fast the best of the first quarter is 1.0 times as fast on the rest; choosing
    and comparing on the same runs would find more."""
    factors = []
    for seed in range(60):
        data = deployment(runs=80)
        single = np.exp(0.2 * np.random.default_rng(seed).normal(size=(7, 1, 80)))
        seven = dataclasses.replace(
            data, engines=tuple("abcdefg"), threads=(1,), flips=np.zeros(7, np.int64), single=single
        )
        factors.append(fastest(seven)[2].value)
    # The mean of 60 has a s.d. of about .006: chance below 1e-5.
    assert np.mean(factors) == pytest.approx(1, abs=0.03)


def test_an_unlucky_first_quarter_hides_no_faster_engine() -> None:
    """Something else kept the machine busy then, whenever the engine had its turn: it was the slower one there."""
    data = deployment(faster=1.6)
    data.single[1, :, :100] *= 2
    assert fastest(data)[2].low > 1.4
    assert verdict(measure, {"deployment": data, "facts": facts()}) == "bottleneck"


def test_percentiles_and_throughput_are_those_of_the_runs() -> None:
    artifacts = given(noise=0.05, ms=4.0)
    estimates, data = found(artifacts).estimates, artifacts["deployment"]
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert estimates[f"latency_{name}"].value == pytest.approx(1000 * np.quantile(data.single[0, 1], q))
        assert estimates[f"latency_{name}"].high is not None
    assert found(given(runs=300)).estimates["latency_p99"].high is None
    assert "upper end unknown from 300 runs" in found(given(runs=300)).summary
    # A batch of 256 takes .25 of the time of so many rows, on two threads.
    best = throughput(data, 0)
    assert best.value == pytest.approx(256 / (0.002 * (1 + 0.2 * 255)), rel=0.05)
    assert best.unit == "rows a second, 256 at once"


def test_what_was_not_measured_is_said() -> None:
    data = dataclasses.replace(deployment(), memory=np.full(2, np.nan), no_memory="the process ended with 1")
    table = found({"deployment": data, "facts": facts()}).details[0]
    assert "torch.compile was not measured: there is no compiler" in table.note
    assert "memory was not measured: the process ended with 1" in table.note
    swept = dataclasses.replace(deployment(), batch=np.full((2, 2, 9, 10), np.nan))
    assert found({"deployment": swept, "facts": facts()}).estimates["throughput"].value is None
