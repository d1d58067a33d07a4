"""The audit, from top to bottom: admit, plan, gather, measure, rank, report."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.gather._given import settled
from uncork.gather._heads import NOTE, heads
from uncork.gather.pool import time_members, timed_arms
from uncork.gather.relabelled import settled as settled_labels
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
from uncork.schema.given_pool import GivenPool
from uncork.schema.metric import Metric
from uncork.schema.pool import Pool
from uncork.schema.report import Report
from uncork.schema.subject import Subject
from uncork.stats.score import score


def audit(
    subject: Subject,
    *,
    budget: str | float = "10m",
    pool: str | GivenPool = "auto",
    relabelled: Mapping[Any, Any] | str | Path | None = None,
    out: str | Path | None = None,
    probes: Sequence[str] | None = None,
    backend: str = "loky",
    address: str | None = None,
    seed: int = 0,
    preview: bool = False,
    describe_only: bool = False,
    source: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures what holds `subject` back, ranks it, and writes the run folder `out` (default: runs/NAME).

    `budget`: time to spend, such as "90s", "10m", "2h". `probes`: ids, default all but previews, or with `preview` all.
    `pool`: "auto" retrains the recipe as often as the probes ask for and the budget allows, "off" never; "head" only
    the last Linear, on stored features, where training by the recipe leaves the encoder as built, and is withheld
    elsewhere; what is there already is brought as `Pool.from_predictions(...)` or `Pool.from_checkpoints(...)`, and
    nothing is retrained.
    `relabelled`: {id: label} of random rows of train that were labelled anew (30 or more; the report names some), or a
    CSV or Parquet table with the columns id and label: narrows how many labels are wrong.
    `describe_only`: all of test is described, nothing can be treated afterwards. `source`: how to
    make the subject again, kept for `uncork treat`. `backend`: where retraining runs, "loky" (processes of this
    machine), "dask" or "ray", on the cluster at `address` where one is given. Given again with the same `out`, it goes
    on from where it was stopped. Raises BadInput, with nothing half-written, where the subject or an argument can't be
    used.
    """
    started, progress = time.perf_counter(), progress or Silent()
    given = pool if isinstance(pool, GivenPool) else None
    if given is None and (not isinstance(pool, str) or pool not in ("auto", "head", "off")):
        raise BadInput(
            f"pool={pool!r}: give 'auto', 'off' to retrain nothing, or what Pool.from_predictions(...) or "
            "Pool.from_checkpoints(...) returns, or 'head' to retrain the last layer of a frozen encoder"
        )
    chosen, seconds = choose(probes, preview=preview), duration(budget)

    # 1. Refuse what can't be audited, before anything is written.
    admitted = admit(subject, describe_only=describe_only, seed=seed, fan=Executor(backend, address))
    context = admitted.context
    if given is not None:
        context = replace(context, given=settled(given, context))
    if relabelled is not None:
        context = replace(context, relabelled=settled_labels(relabelled, context))
    reader = gatherers()[Fingerprints]
    with working(progress, Fingerprints().label(), reader.price(Fingerprints(), context)):
        prints = reader.gather(Fingerprints(), context)

    # 2. A folder for this subject alone; what an earlier, stopped run gathered is there already.
    about = identity(context, prints, source or {"kind": "python"}, describe_only=describe_only)
    if pool == "head":
        about["fingerprints"]["pool"] = "heads"
    folder, new = RunFolder.open(Path(out or Path("runs") / (subject.name or "subject")), about)
    store = folder.store(about)
    try:
        # 3. Decide what to gather, and write it down before the first artifact.
        no_pool = "it was switched off (pool='off')" if pool == "off" else ""
        if pool == "head":
            context = replace(context, heads=headed(context, store, seconds, progress))
        if pool in ("auto", "head"):
            context, no_pool = timed(context, folder, chosen, progress)
        plan = make_plan(chosen, context, seconds, no_pool=no_pool)
        context = replace(context, store=store, deadline=time.monotonic() + seconds - (time.perf_counter() - started))
        folder.write("plan.json", {**plan.describe(), "timed": plan.timed})
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
    notes = (*admitted.notes, NOTE) if isinstance(context.heads, Subject) else admitted.notes
    report = Report(
        subject=describe(context, delta, notes, artifacts.get(Profile()), describe_only=describe_only),
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


def timed(context: Context, folder: RunFolder, probes: Sequence[Probe], progress: Progress) -> tuple[Context, str]:
    """(context with what prices rest on, why nothing can be retrained): as an earlier run had timed it, else now."""
    before = folder.timed()
    if before is not None:
        context = replace(context, seconds_per_row=before["seconds_per_row"], training=before["training"])
    asked = [request for probe in probes for request in probe.requires.values() if isinstance(request, Pool)]
    request = functools.reduce(Pool.merged, asked, Pool())
    if set(timed_arms(request, context)) <= set(context.training):
        return context, ""
    try:
        with working(progress, "timing a few steps of the recipe", 10):
            return replace(context, training=time_members(request, context)), ""
    except Exception as error:  # the user's own code: what needs no retraining is measured all the same
        return context, f"the recipe can't be trained here ({type(error).__name__}: {error})"


def headed(context: Context, store: Store, budget: float, progress: Progress) -> Subject | str:
    """What heads are trained on, its features kept in the store; or why there are none."""
    price = context.seconds_per_row * sum(context.facts.sizes.get(name, 0) for name in ("train", "validation"))
    if price > budget:
        return f"the features would take about {price:.0f} s, and {budget:.0f} s were given: give a larger --budget"
    with working(progress, "features of the encoder", price):
        return heads(context, store)


def threshold(metric: Metric, validation: PassData | None) -> float:
    """δ in the metric's display unit. Where it depends on how good the model is, validation tells, never test."""
    if metric.delta is not None or validation is None:
        return metric.delta_at(0.0)
    return metric.delta_at(score(metric, validation).value or 0.0)


def choose(ids: Sequence[str] | None, *, preview: bool = False) -> list[Probe]:
    """The probes with these ids; where None all, previews with `preview` only. Raises BadInput for an unknown id."""
    known = registered()
    if ids is None:
        return [probe for probe in known.values() if preview or not probe.preview]
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
    where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    place = f" (in {Path(where.filename).name}, line {where.lineno})" if where else ""
    return unmeasured(probe, "error", f"{type(error).__name__}: {error}{place}")
