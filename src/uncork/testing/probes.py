"""The contract that every probe keeps, checked on artifacts made by hand.

    from uncork.testing.artifacts import a_pass, facts
    from uncork.testing.probes import check_probe

    check_probe(measure, lambda: {"validation": a_pass(500, error=0.1), "facts": facts()})

It raises AssertionError with a sentence that says which rule is broken.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from uncork.remedies._contract import remedies
from uncork.schema.artifacts import PassData
from uncork.schema.contract import Probe
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.seeds import generator
from uncork.testing.documentation import missing_sections
from uncork.testing.measurements import arrays_of, check_measurement, finding_of, random_state

Artifacts = dict[str, Any]
ALARMS, CHANCE = 0.05, 1e-3


def check_probe(
    probe: Probe,
    make_artifacts: Callable[[], Artifacts],
    *,
    null: Callable[[int], Artifacts] | None = None,
    seeds: int = 20,
) -> None:
    """`make_artifacts`: fresh artifacts of a subject to which the probe applies, by the names in `requires`.

    `null`: seed → artifacts of a subject without the bottleneck. Over `seeds` of them the verdict "bottleneck" may not
    come more often than the binomial region of a true rate of 5 % allows; a probe that keeps that rate fails with a
    chance below 1 in 1,000, and always or never on the same machine, since the seeds are fixed.
    """
    _check_declaration(probe)
    first = _measure(probe, make_artifacts())
    assert not isinstance(first, NotApplicable), f"{probe.id}: not applicable here ({first}): give artifacts that fit"
    check_measurement(probe, first, make_artifacts())
    _same(probe, first, _measure(probe, make_artifacts()), "a second run under the same seed gives", exact=True)
    for seed in range(3):
        shuffled = {name: _shuffled(data, generator(seed, name)) for name, data in make_artifacts().items()}
        _same(probe, first, _measure(probe, shuffled), "rows in another order give")
    _check_purity(probe, make_artifacts(), make_artifacts())
    if null is not None:
        alarms = sum(verdict(probe, null(seed), seed) == "bottleneck" for seed in range(seeds))
        most = int(stats.binom.ppf(1 - CHANCE, seeds, ALARMS))
        assert alarms <= most, f"{probe.id}: {alarms} false alarms in {seeds} null subjects, at most {most} are chance"


def verdict(probe: Probe, artifacts: Artifacts, seed: int = 0) -> str:
    """The verdict that an audit would give, without correction for the other probes."""
    return finding_of(probe, _measure(probe, artifacts, seed), artifacts).verdict


def _check_declaration(probe: Probe) -> None:
    missing = missing_sections(probe.doc, probe.sections)
    assert not missing, f"{probe.id}: the docstring of its file lacks the sections {missing}"
    taken = set(inspect.signature(probe.measure).parameters)
    wanted = {*probe.requires, "rng"}
    assert taken == wanted, f"{probe.id}: the function takes {sorted(taken)}, but declared are {sorted(wanted)}"
    unknown = set(probe.remedies) - set(remedies())
    assert not unknown, f"{probe.id}: there are no remedies {sorted(unknown)}"
    assert probe.title != probe.failure_title, f"{probe.id}: failing and passing have the same title"


def _measure(probe: Probe, artifacts: Artifacts, seed: int = 0) -> Measurement | NotApplicable:
    return probe.measure(**artifacts, rng=generator(seed, "probe", probe.id))


def _same(
    probe: Probe, first: Measurement, again: Measurement | NotApplicable, what: str, *, exact: bool = False
) -> None:
    assert isinstance(again, Measurement), f"{probe.id}: {what} {again}"
    if exact:
        assert again == first, f"{probe.id}: {what} another measurement"
    one, other = ({**m.estimates, "headroom": m.headroom} for m in (first, again))
    assert one.keys() == other.keys(), f"{probe.id}: {what} other estimates: {sorted(one.keys() ^ other.keys())}"
    for name, estimate in one.items():
        twin = other[name]
        for part in ("value", "low", "high", "se", "df", "n"):
            a, b = getattr(estimate, part, None), getattr(twin, part, None)
            near = a is b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9))
            assert near, f"{probe.id}: {what} {name}.{part} = {b}, it was {a}"


def _shuffled(data: Any, rng: np.random.Generator) -> Any:
    if isinstance(data, PassData):
        return data.take(rng.permutation(len(data)))
    if not dataclasses.is_dataclass(data) or isinstance(data, type):
        return data
    inner = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    nested = {name: _shuffled(value, rng) for name, value in inner.items() if isinstance(value, PassData)}
    return dataclasses.replace(data, **nested)


def _check_purity(probe: Probe, artifacts: Artifacts, frozen: Artifacts) -> None:
    held = dict(arrays_of(artifacts))
    before = {name: array.tobytes() for name, array in held.items()}
    state = random_state()
    first = _measure(probe, artifacts)
    changed = [name for name, array in held.items() if array.tobytes() != before[name]]
    assert not changed, f"{probe.id}: it changed {changed[0]}, which other probes read too"
    assert random_state() == state, f"{probe.id}: it draws from a global random state: draw from rng"
    # The second run reads what the first one memoised of these artifacts.
    assert _measure(probe, artifacts) == first, f"{probe.id}: it changed a derived quantity, which others read too"
    for _, array in arrays_of(frozen):
        array.setflags(write=False)
    try:
        _measure(probe, frozen)
    except ValueError as e:
        raise AssertionError(f"{probe.id}: it fails on read-only artifacts: {e}") from e
