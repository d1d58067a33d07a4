"""Which artifacts are gathered, for which probes, at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.schema.artifacts import Facts, Pass, Profile, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import Unavailable


@dataclass(frozen=True)
class Planned:
    """One artifact to gather: its price in seconds, and the ids of the probes that read it."""

    request: Request
    seconds: float
    probes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """`planned` in the order of gathering. `not_run`: probes that don't fit the budget, with the reason and price."""

    planned: tuple[Planned, ...]
    not_run: Mapping[str, str]
    budget: float

    def covering(self, request: Request) -> Request:
        """The planned request whose artifact answers `request`. Raises StopIteration where none was planned."""
        return next(p.request for p in self.planned if p.request.covers(request))

    def describe(self) -> dict[str, Any]:
        """The content of plan.json and of the report's `plan`."""
        return {
            "budget_seconds": self.budget,
            "artifacts": [{"request": p.request.key(), "probes": list(p.probes)} for p in self.planned],
            "not_run": dict(self.not_run),
        }


def make_plan(probes: Sequence[Probe], context: Context, budget: float) -> Plan:
    """Merges nested requests and prices them; while they don't fit, the probe whose own artifacts cost most goes.

    Gates are never left out: what they guard could not be read without them.
    """
    kept: list[Probe] = list(probes)
    not_run: dict[str, str] = {}
    while True:
        planned = _merged(kept, context)
        total = sum(p.seconds for p in planned)
        own = {
            probe.id: sum(p.seconds for p in planned if p.probes == (probe.id,))
            for probe in kept
            if probe.tier != "gate"
        }
        dearest = max(own, key=lambda id: own[id], default=None)
        if total <= budget or dearest is None or own[dearest] <= 0:
            return Plan(planned, not_run, budget)
        kept = [probe for probe in kept if probe.id != dearest]
        not_run[dearest] = (
            f"would take about {own[dearest]:.0f} s more, and {budget:.0f} s were given: "
            f"try --budget {total:.0f}s or --probes {dearest}"
        )


def _merged(probes: Sequence[Probe], context: Context) -> tuple[Planned, ...]:
    wanted: dict[Request, list[str]] = {Profile(): [], Pass("validation"): []}
    for probe in probes:
        for request in probe.requires.values():
            if not isinstance(request, Facts):
                wanted.setdefault(request, []).append(probe.id)
    for small in list(wanted):
        large = next((r for r in wanted if r != small and r.covers(small)), None)
        if large is not None:
            wanted[large] = sorted({*wanted[large], *wanted.pop(small)})
    known = gatherers()
    return tuple(
        Planned(request, _price(known, request, context), tuple(ids))
        for request, ids in sorted(wanted.items(), key=lambda item: (_price(known, item[0], context), item[0].key()))
    )


def _price(known: Mapping[type[Request], Any], request: Request, context: Context) -> float:
    try:
        return float(known[type(request)].price(request, context))
    except Unavailable:
        return 0.0
