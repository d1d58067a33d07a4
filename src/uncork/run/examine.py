"""Gathering what probes ask for and measuring with it: what an audit does, and a treatment again after what it kept."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.gather.pool import time_members, timed_arms
from uncork.gather.store import Store
from uncork.probes._contract import registered
from uncork.run.measure import bind, run_probe
from uncork.run.plan import Plan, make_plan
from uncork.run.progress import Progress, working
from uncork.run.rank import judge, quality_family, unmeasured
from uncork.schema.artifacts import Facts, PassData, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.finding import Finding
from uncork.schema.metric import Metric
from uncork.schema.pool import Pool
from uncork.stats.score import score


@dataclass(frozen=True)
class Examined:
    """A subject and its findings. `store` keeps what they were read from; None where that is of another subject."""

    context: Context
    findings: tuple[Finding, ...]
    store: Store | None

    def artifacts(self, finding: Finding) -> dict[str, Any]:
        """What the finding's probe read, from the store, and gathered again where it is no longer there.

        Of a pool what was trained, and no more.
        """
        probe = registered()[finding.id]
        plan = make_plan([probe], self.context, float("inf"))
        context = replace(self.context, store=self.store, deadline=0.0)

        def fetch(request: Request) -> Any:
            covering = plan.covering(request)
            stored = None if self.store is None else self.store.get(covering)
            return gatherers()[type(covering)].gather(covering, context) if stored is None else stored

        return bind(probe, self.context, fetch)


def examine(
    context: Context, store: Store, probes: Sequence[Probe], seconds: float, delta: float, progress: Progress
) -> Examined:
    """Gathers for these probes within `seconds`, and measures: the findings of a subject that was changed."""
    ends = time.monotonic() + seconds
    context, no_pool = timed(replace(context, training={}), None, probes, progress)  # its recipe may be another by now
    plan = make_plan(probes, context, ends - time.monotonic(), no_pool=no_pool)
    context = replace(context, store=store, deadline=ends)
    artifacts, failures = gather_all(plan, context, store, progress)
    return Examined(
        context, tuple(measure(probe, plan, context, artifacts, failures, delta) for probe in probes), store
    )


def timed(
    context: Context, before: dict[str, Any] | None, probes: Sequence[Probe], progress: Progress
) -> tuple[Context, str]:
    """(context with what prices rest on, why nothing can be retrained): as an earlier run timed it `before`, or now."""
    if before is not None:
        context = replace(context, seconds_per_row=before["seconds_per_row"], training=before["training"])
    requests = [request for probe in probes for request in probe.requires.values()]
    asked = [Pool(full=1) for request in requests if request.trains]  # the price of one training is all it takes
    request = functools.reduce(Pool.merged, [r for r in requests if isinstance(r, Pool)] + asked, Pool())
    if set(timed_arms(request, context)) <= set(context.training):
        return context, ""
    try:
        with working(progress, "timing a few steps of the recipe", 10):
            return replace(context, training=time_members(request, context)), ""
    except Exception as error:  # the user's own code: what needs no retraining is measured all the same
        return context, f"the recipe can't be trained here ({type(error).__name__}: {error})"


def threshold(metric: Metric, validation: PassData | None) -> float:
    """δ in the metric's display unit. Where it depends on how good the model is, validation tells, never test."""
    if metric.delta is not None or validation is None:
        return metric.delta_at(0.0)
    return metric.delta_at(score(metric, validation).value or 0.0)


def gather_all(
    plan: Plan, context: Context, store: Store, progress: Progress
) -> tuple[dict[Request, Any], dict[Request, Exception]]:
    """(artifacts, failures) by request. A gatherer that fails sinks only the findings that needed it."""
    artifacts: dict[Request, Any] = {}
    failures: dict[Request, Exception] = {}
    left = sum(p.seconds for p in plan.planned)
    for planned in plan.planned:
        request = planned.request
        try:
            data = store.get(request)
            if data is None:
                with working(progress, request.label(), left) if planned.seconds else nullcontext():
                    data = gatherers()[type(request)].gather(request, context)
                if gatherers()[type(request)].stored:
                    store.put(request, data)
            artifacts[request] = data
        except BadInput:
            raise
        except Exception as error:
            failures[request] = error
        left -= planned.seconds
    return artifacts, failures


def measure(
    probe: Probe,
    plan: Plan,
    context: Context,
    artifacts: dict[Request, Any],
    failures: dict[Request, Exception],
    delta: float,
) -> Finding:
    """One probe's finding. Whatever goes wrong in it becomes its own finding, and no other's."""
    if probe.id in plan.not_run:
        return unmeasured(probe, "not-run", plan.not_run[probe.id])
    if reason := plan.unanswered(probe):
        return unmeasured(probe, "not-run", reason)
    started = time.perf_counter()
    needed = [plan.covering(request) for request in probe.requires.values() if not isinstance(request, Facts)]
    for request in needed:
        if request in failures:
            return failed(probe, failures[request])
    try:
        outcome = run_probe(probe, context, lambda request: plan.part(request, artifacts[plan.covering(request)]))
    except Exception as error:
        return failed(probe, error)
    seconds = time.perf_counter() - started
    return judge(probe, outcome, delta=delta, family=quality_family(), seconds=seconds)


def failed(probe: Probe, error: Exception) -> Finding:
    if isinstance(error, Unavailable):
        return unmeasured(probe, "not-applicable", str(error))
    return unmeasured(probe, "error", failure(error))


def failure(error: Exception) -> str:
    """What went wrong, and in which line; uncork's own errors say it all."""
    if isinstance(error, UncorkError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    place = f" (in {Path(where.filename).name}, line {where.lineno})" if where else ""
    return f"{type(error).__name__}: {error}{place}"
