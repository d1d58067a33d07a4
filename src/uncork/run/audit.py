"""The audit, from top to bottom: admit, plan, gather, measure, rank, report."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.gather.store import Store
from uncork.probes._contract import broken, registered
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import describe, environment, identity
from uncork.run.measure import run_probe
from uncork.run.plan import Plan, make_plan
from uncork.run.progress import Progress, Silent, duration, working
from uncork.run.rank import judge, principal, quality_family, ranked, unimportable, unmeasured
from uncork.run.verify import headline
from uncork.schema.artifacts import Facts, Fingerprints, Pass, PassData, Profile, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import BadInput, DiskFull, Unavailable
from uncork.schema.finding import Finding
from uncork.schema.metric import Metric
from uncork.schema.report import Report
from uncork.schema.subject import Subject
from uncork.stats.score import score


def audit(
    subject: Subject,
    *,
    budget: str | float = "10m",
    pool: str = "auto",
    out: str | Path | None = None,
    probes: Sequence[str] | None = None,
    backend: str = "loky",
    seed: int = 0,
    describe_only: bool = False,
    source: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures what holds `subject` back, ranks it, and writes the run folder `out` (default: runs/NAME).

    `budget`: time to spend, such as "90s", "10m", "2h". `probes`: ids, default all. `pool`: "auto"; this version
    retrains no pool. `describe_only`: all of test is described, nothing can be treated afterwards. `source`: how to
    make the subject again, kept for `uncork treat`. Given again with the same `out`, it goes on from where it was
    stopped. Raises BadInput, with nothing half-written, where the subject or an argument can't be used.
    """
    started, progress = time.perf_counter(), progress or Silent()
    if pool != "auto":
        raise BadInput(f"pool={pool!r}: this version retrains no pool, leave it at 'auto'")
    chosen, seconds = choose(probes), duration(budget)

    # 1. Refuse what can't be audited, before anything is written.
    admitted = admit(subject, describe_only=describe_only, seed=seed, fan=Executor(backend))
    context = admitted.context
    reader = gatherers()[Fingerprints]
    with working(progress, Fingerprints().label(), reader.price(Fingerprints(), context)):
        prints = reader.gather(Fingerprints(), context)

    # 2. A folder for this subject alone; what an earlier, stopped run gathered is there already.
    about = identity(context, prints, source or {"kind": "python"}, describe_only=describe_only)
    folder, new = RunFolder.open(Path(out or Path("runs") / (subject.name or "subject")), about)
    store = folder.store(about)
    try:
        # 3. Decide what to gather, and write it down before the first artifact.
        plan = make_plan(chosen, context, seconds)
        folder.write("plan.json", plan.describe())
        store.put(Fingerprints(), prints)

        # 4. Gather each artifact once.
        artifacts, failures = gather_all(plan, context, store, progress)
        described, test_seconds = headline(context, prints, store, progress)
    except DiskFull:
        raise
    except BadInput as error:
        if new:
            folder.discard()
        # A row of validation may stand in what the user gave as test: the notes tell.
        notes = admitted.notes if "validation" in str(error) else ()
        raise BadInput(". ".join((str(error), *notes))) from None

    # 5. Measure, judge, rank.
    delta = threshold(context.facts.metric, artifacts.get(Pass("validation")))
    findings = [measure(probe, plan, context, artifacts, failures, delta) for probe in chosen]
    findings += [unimportable(module, why) for module, why in broken().items()]
    report = Report(
        subject=describe(context, delta, admitted.notes, artifacts.get(Profile()), describe_only=describe_only),
        headline=described,
        principal=principal(findings, delta=delta, family=quality_family()),
        findings=ranked(findings),
        plan={**plan.describe(), "seed": seed},
        artifacts={"gathered": [request.label() for request in artifacts]},
        environment=environment(),
        timings={"audit_seconds": time.perf_counter() - started, "headline_seconds": test_seconds},
        live=subject,
    )
    return folder.save(folder.with_earlier_treatments(report))


def threshold(metric: Metric, validation: PassData | None) -> float:
    """δ in the metric's display unit. Where it depends on how good the model is, validation tells, never test."""
    if metric.delta is not None or validation is None:
        return metric.delta_at(0.0)
    return metric.delta_at(score(metric, validation).value or 0.0)


def choose(ids: Sequence[str] | None) -> list[Probe]:
    """The probes with these ids; all where None. Raises BadInput for an id that there isn't."""
    known = registered()
    if ids is None:
        return list(known.values())
    if not ids:
        raise BadInput(f"no probe is named: choose from {', '.join(known)}, or leave the choice out to run them all")
    for id in ids:
        if id not in known:
            raise BadInput(f"there is no probe {id!r}: choose from {', '.join(known)}")
    return [known[id] for id in dict.fromkeys(ids)]


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
    started = time.perf_counter()
    needed = [plan.covering(request) for request in probe.requires.values() if not isinstance(request, Facts)]
    for request in needed:
        if request in failures:
            return failed(probe, failures[request])
    try:
        outcome = run_probe(probe, context, lambda request: artifacts[plan.covering(request)])
    except Exception as error:
        return failed(probe, error)
    seconds = time.perf_counter() - started
    return judge(probe, outcome, delta=delta, family=quality_family(), seconds=seconds)


def failed(probe: Probe, error: Exception) -> Finding:
    if isinstance(error, Unavailable):
        return unmeasured(probe, "not-applicable", str(error))
    where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    place = f" (in {Path(where.filename).name}, line {where.lineno})" if where else ""
    return unmeasured(probe, "error", f"{type(error).__name__}: {error}{place}")
