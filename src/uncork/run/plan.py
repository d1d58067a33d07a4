"""Which artifacts are gathered, for which probes, at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.schema.artifacts import CodeLength, Facts, Pass, Profile, Relabelled, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import Unavailable
from uncork.schema.pool import Pool, PoolData


@dataclass(frozen=True)
class Planned:
    """One artifact to gather: its price in seconds, and the ids of the probes that read it."""

    request: Request
    seconds: float
    probes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """`planned` in the order of gathering. `not_run`: probes that don't fit the budget, with the reason and price.

    `left_out`: what of the pool doesn't fit or isn't wanted, in the same words, by the names of `PoolData.left_out`.
    `timed`: what the prices rest on. A run that goes on takes them over, so that it decides as before.
    """

    planned: tuple[Planned, ...]
    not_run: Mapping[str, str]
    budget: float
    left_out: Mapping[str, str] = field(default_factory=dict)
    timed: Mapping[str, Any] = field(default_factory=dict)

    def covering(self, request: Request) -> Request:
        """The planned request whose artifact answers `request`, for a pool as far as there is one.

        Raises StopIteration where none was planned.
        """
        if isinstance(request, Pool):
            return next(p.request for p in self.planned if isinstance(p.request, Pool))
        return next(p.request for p in self.planned if p.request.covers(request))

    def part(self, request: Request, data: Any) -> Any:
        """What a probe that asked for `request` gets of the artifact: of a pool no more than that, and why less."""
        if not isinstance(request, Pool):
            return data
        own: PoolData = data.prefix(request)
        return replace(own, left_out={**own.left_out, **self.left_out})

    def unanswered(self, probe: Probe) -> str:
        """Why a probe can't be run for want of time; "" where it can. Of what it asks the pool, nothing is there."""
        needed = [
            request for request in probe.requires.values() if not isinstance(request, Facts | Relabelled | CodeLength)
        ]
        if len(needed) != 1 or not isinstance(pool := needed[0], Pool):
            return ""
        if "pool" in self.left_out:
            return self.left_out["pool"]
        lost = [question for question in pool.questions if question in self.left_out]
        return self.left_out[lost[0]] if lost and len(lost) == len(pool.questions) else ""

    def describe(self) -> dict[str, Any]:
        """The content of plan.json and of the report's `plan`."""
        return {
            "budget_seconds": self.budget,
            "artifacts": [{"request": p.request.key(), "probes": list(p.probes)} for p in self.planned],
            "not_run": dict(self.not_run),
            "left_out": dict(self.left_out),
        }


def make_plan(probes: Sequence[Probe], context: Context, budget: float, *, no_pool: str = "") -> Plan:
    """Merges nested requests and prices them. While they don't fit, the pool shrinks; then the dearest probe goes.

    Dearest: whose own artifacts cost most. Gates are never left out: what they guard could not be read without them.
    `no_pool`: why nothing is retrained.
    """
    kept: list[Probe] = list(probes)
    not_run: dict[str, str] = {}
    left_out = {"pool": no_pool} if no_pool else {}
    limit = Pool() if no_pool else None
    timed = {"seconds_per_row": context.seconds_per_row, "training": dict(context.training)}
    while True:
        planned = _merged(kept, context, limit)
        total = sum(p.seconds for p in planned)
        asked = next((p for p in planned if isinstance(p.request, Pool)), None)
        smaller = asked.request.smaller() if asked is not None and isinstance(asked.request, Pool) else None
        own = {
            probe.id: sum(p.seconds for p in planned if p.probes == (probe.id,) and p is not asked)
            for probe in kept
            if probe.tier != "gate"
        }
        dearest = max(own, key=lambda id: own[id], default=None)
        if total <= budget:
            return Plan(planned, not_run, budget, left_out, timed)
        if asked is not None and isinstance(asked.request, Pool) and smaller is not None and asked.seconds > 0:
            saved = asked.seconds - _price(gatherers(), smaller, context)
            for name in asked.request.without(smaller):
                left_out.setdefault(name, _too_dear(saved, budget, total))
            limit = smaller
            continue
        if dearest is None or own[dearest] <= 0:
            return Plan(planned, not_run, budget, left_out, timed)
        kept = [probe for probe in kept if probe.id != dearest]
        not_run[dearest] = f"{_too_dear(own[dearest], budget, total)} or --probes {dearest}"


def _too_dear(seconds: float, budget: float, total: float) -> str:
    return f"would take about {seconds:.0f} s more, and {budget:.0f} s were given: try --budget {total:.0f}s"


def _merged(probes: Sequence[Probe], context: Context, limit: Pool | None) -> tuple[Planned, ...]:
    wanted: dict[Request, list[str]] = {Profile(): [], Pass("validation"): []}
    pool: Pool | None = None
    readers: list[str] = []
    for probe in probes:
        for request in probe.requires.values():
            if isinstance(request, Pool):
                pool = request if pool is None else pool.merged(request)
                readers.append(probe.id)
            elif not isinstance(request, Facts):
                wanted.setdefault(request, []).append(probe.id)
    for small in list(wanted):
        large = next((r for r in wanted if r != small and r.covers(small)), None)
        if large is not None:
            wanted[large] = sorted({*wanted[large], *wanted.pop(small)})
    if pool is not None:
        wanted[pool if limit is None else pool.within(limit)] = readers
    known = gatherers()
    planned = [Planned(request, _price(known, request, context), tuple(ids)) for request, ids in wanted.items()]
    # In whole seconds, so that a warm-up a little slower doesn't change the order that a report shows.
    return tuple(sorted(planned, key=lambda each: (int(min(each.seconds, 1e9)), each.request.key())))


def _price(known: Mapping[type[Request], Any], request: Request, context: Context) -> float:
    try:
        return float(known[type(request)].price(request, context))
    except Unavailable:
        return 0.0
