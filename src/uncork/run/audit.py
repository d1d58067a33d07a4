"""The audit, from top to bottom: admit, plan, gather, measure, rank, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uncork.gather._contract import Context, gatherers
from uncork.gather._given import settled
from uncork.gather._heads import NOTE, heads
from uncork.gather.relabelled import settled as settled_labels
from uncork.gather.shifted_labels import settled as labels_of_shifted
from uncork.gather.store import Store
from uncork.probes._contract import broken, registered
from uncork.run.admit import admit
from uncork.run.beside import write_cases
from uncork.run.examine import gather_all, measure, threshold, timed
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import describe, environment, identity
from uncork.run.plan import Plan, make_plan
from uncork.run.progress import Progress, Silent, duration, working
from uncork.run.rank import principal, quality_family, ranked, unimportable
from uncork.run.suspects import write_suspects
from uncork.run.to_label import write_to_label
from uncork.run.verify import headline
from uncork.schema.artifacts import Fingerprints, Pass, Profile, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import BadInput, DiskFull
from uncork.schema.finding import Finding
from uncork.schema.given_pool import GivenPool
from uncork.schema.report import Report
from uncork.schema.shifted import ShiftedLabels
from uncork.schema.subject import Subject


def audit(
    subject: Subject,
    *,
    budget: str | float = "10m",
    pool: str | GivenPool = "auto",
    relabelled: Mapping[Any, Any] | str | Path | None = None,
    labels: int | Mapping[Any, Any] | str | Path | None = None,
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
    `labels`: of `shifted`, how many may be used: with labels, those of so many random rows; without, so many random
    rows are named in to_label.csv, to be brought as {id: label} or as such a table. Default: all there are.
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
    if labels is not None:
        context = replace(context, labels=labels_of_shifted(labels, context))
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
            context, no_pool = timed(context, folder.timed(), chosen, progress)
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
    write_tables(folder.path, context, plan, artifacts, findings)
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


def write_tables(
    folder: Path, context: Context, plan: Plan, artifacts: Mapping[Request, Any], findings: Sequence[Finding]
) -> None:
    """Writes the rows that look wrong, those to label next, and how the rows look that findings name."""
    if any(finding.id == "wrong-labels" and finding.estimates for finding in findings):
        write_suspects(folder, context, plan, artifacts)
    write_to_label(folder, artifacts.get(ShiftedLabels()))
    write_cases(folder, context, findings, artifacts.get(Pass("validation")))


def headed(context: Context, store: Store, budget: float, progress: Progress) -> Subject | str:
    """What heads are trained on, its features kept in the store; or why there are none."""
    price = context.seconds_per_row * sum(context.facts.sizes.get(name, 0) for name in ("train", "validation"))
    if price > budget:
        return f"the features would take about {price:.0f} s, and {budget:.0f} s were given: give a larger --budget"
    with working(progress, "features of the encoder", price):
        return heads(context, store)


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
