"""What holds of every measurement: honest intervals, plain JSON, a finding that survives being written and read."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from uncork.run.rank import judge
from uncork.schema.artifacts import FactsData, PassData
from uncork.schema.contract import Probe
from uncork.schema.finding import Estimate, Finding, Measurement, NotApplicable
from uncork.schema.report import Headline, Report
from uncork.stats.score import score


def check_measurement(probe: Probe, measured: Measurement, artifacts: dict[str, Any]) -> None:
    """Estimates with method, unit and honest intervals; details in plain JSON; a report survives writing and reading.

    For edge cases, where a probe must answer but none of the other rules is in doubt.
    """
    named = {**measured.estimates, **({"headroom": measured.headroom} if measured.headroom else {})}
    for name, estimate in named.items():
        _check_estimate(f"{probe.id}: estimate {name!r}", estimate)
    if measured.against is not None:
        there = measured.against.estimate in measured.estimates
        assert there, f"{probe.id}: is judged by {measured.against.estimate!r}, which it does not estimate"
    for detail in measured.details:
        _check_json(f"{probe.id}: detail {detail.title!r}", detail.data)
    finding = finding_of(probe, measured, artifacts)
    report = Report(subject={}, headline=Headline("error", None, None, None, 0), principal=(), findings=(finding,))
    again = Report.from_json(report.to_json())
    assert again.findings[0] == finding, f"{probe.id}: its finding is not the same after writing and reading JSON"


def finding_of(probe: Probe, outcome: Measurement | NotApplicable, artifacts: dict[str, Any]) -> Finding:
    """What an audit would make of it, without correction for the other probes."""
    known = [data for data in artifacts.values() if isinstance(data, FactsData)]
    passes = [data for data in artifacts.values() if isinstance(data, PassData)]
    value = score(known[0].metric, passes[0]).value if known and passes else None
    delta = known[0].metric.delta_at(value or 0.0) if known else 5.0
    return judge(probe, outcome, delta=delta, family=4, seconds=0.0)


def _check_estimate(name: str, estimate: Estimate) -> None:
    assert estimate.method, f"{name} names no method"
    assert estimate.unit, f"{name} names no unit"
    assert type(estimate.n) is int, f"{name}: n is {estimate.n!r}, not a whole number of resampling units"
    assert estimate.n >= 0, f"{name}: n is {estimate.n}"
    if estimate.low is None or estimate.high is None:
        return
    assert estimate.low <= estimate.high, f"{name}: the interval ({estimate.low}, {estimate.high}) is upside down"
    counted = "counted" in estimate.method
    assert counted or estimate.low < estimate.high, f"{name}: an interval of zero width, and nothing was counted"
    if estimate.value is not None:
        slack = 1e-9 * max(1.0, abs(estimate.value))
        inside = estimate.low - slack <= estimate.value <= estimate.high + slack
        assert inside, f"{name}: the value {estimate.value} is outside ({estimate.low}, {estimate.high})"


def _check_json(name: str, value: Any) -> None:
    assert not isinstance(value, np.generic | np.ndarray), f"{name} holds {type(value).__name__}: make it plain Python"
    if isinstance(value, dict):
        for key, inner in value.items():
            assert isinstance(key, str), f"{name} has the key {key!r}: JSON takes strings"
            _check_json(name, inner)
    elif isinstance(value, list):
        for inner in value:
            _check_json(name, inner)
    else:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as e:
            raise AssertionError(f"{name} holds {value!r}: {e}") from None
        assert not isinstance(value, tuple), f"{name} holds a tuple: JSON gives back a list"


def arrays_of(data: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of every array in artifacts, dictionaries and dataclasses inside one another."""
    if isinstance(data, np.ndarray):
        yield name, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from arrays_of(value, f"{name}[{key!r}]")
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        for field in dataclasses.fields(data):
            yield from arrays_of(getattr(data, field.name), f"{name}.{field.name}")


def random_state() -> bytes:
    """The global random states of NumPy and torch, which nothing may draw from."""
    import torch

    return pickle.dumps((np.random.get_state(), torch.get_rng_state().numpy()))  # noqa: NPY002
