"""The treatment, from top to bottom: pick remedies, try each against its control, keep what helps, prove it once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from uncork.derived.copies import TOLERATED, copies
from uncork.gather._contract import Context, gatherers
from uncork.remedies._flagged import given_probabilities
from uncork.remedies.drop_examples import listed
from uncork.remedies.relabel import corrected
from uncork.run.admit import admit
from uncork.run.bench import Bench
from uncork.run.examine import Examined, failure
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import identity
from uncork.run.price import investments, prices
from uncork.run.progress import Progress, Silent, duration, working
from uncork.run.reopen import found
from uncork.run.save import save_treated
from uncork.run.verify import Attempt, verify
from uncork.run.worth import seconds_of_training, worth_trying
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.schema.contract import Remedy
from uncork.schema.errors import BadInput, DiskFull, Unavailable
from uncork.schema.finding import Finding
from uncork.schema.report import Report, Treatment
from uncork.schema.subject import Subject

Todo = list[tuple[Remedy, Finding]]

#: What can be given, and the remedy that it is for.
EVIDENCE = {"drop": "drop-examples", "labels": "relabel", "out_of_fold": "drop-examples"}


def treat(
    report_or_folder: Report | str | Path,
    *,
    budget: str | float = "10m",
    remedies: Sequence[str] | None = None,
    dry_run: bool = False,
    price: str | Mapping[str, float] | None = None,
    evidence: Mapping[str, Any] | None = None,
    subject: Subject | None = None,
    backend: str = "loky",
    address: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Tries remedies on an audited subject, keeps those that help on validation, and proves the result once on test.

    A remedy helps when it beats both the model before it and its control, on average over training seeds where it
    trains. After one that trains is kept, what is left to mend is measured again. `remedies`: ids to try, in any case;
    default those of proven findings, and of undetermined ones that may well be worth it. `dry_run`: tries nothing; the
    report says what would be tried, and its price, for which a callable recipe is trained once where the audit has not
    timed it. `price`: of a label and of an hour of training, {"label": .3, "gpu-hour": 2}: investments are ranked, and
    tried, by gain per money. `evidence`: what some remedies can be given: `{"drop": ids of train rows}`,
    `{"labels": {id: label}}`, `{"out_of_fold": (n, K) probabilities}`. `subject`: needed where the run was made from
    Python objects in another process. `backend`, `address`: as of `audit`. Given again it goes on from where it was
    stopped. Raises BadInput where the run can't be treated.
    """
    started, progress, ends = time.perf_counter(), progress or Silent(), time.monotonic() + duration(budget)
    folder, report, subject = _find(report_or_folder, subject)
    bench = _bench(folder, report, subject, evidence or {}, Executor(backend, address))
    if price is not None:
        costs, rows = prices(price), len(bench.present.subject.train or ())
        bench.training = _training(bench, folder, progress)
        report = replace(report, investments=investments(report.findings, costs, rows=rows, training=bench.training))
    order, given = [i.finding for i in report.investments], [EVIDENCE[key] for key in evidence or ()]
    todo = worth_trying(report.findings, remedies, bench.delta, order=order, given=given)
    if price is None and any(not remedy.fits_on_validation for remedy, _ in todo):
        bench.training = _training(bench, folder, progress)
    if dry_run:
        planned = [bench.planned(remedy, finding, ends - time.monotonic()) for remedy, finding in todo]
        return replace(report, treatments=tuple(planned), verification=None)

    def again(done: Collection[str]) -> Todo:
        """What trained and was kept changes what is left to mend."""
        if remedies is not None:
            return todo
        bench.examine_again(done, ends - time.monotonic(), progress)
        return worth_trying(bench.examined.findings, None, bench.delta, order=order, given=given)

    treatments, attempts = try_all(bench, todo, ends, progress, again)

    # Open test once, if there is something to prove.
    verification = None
    if any(a.treatment.kept for a in attempts):
        with working(progress, "proving it on test", bench.seconds_of_proof(attempts)):
            verification, proven = verify(bench.baseline, bench.present, attempts)
        by_remedy = {t.remedy: t for t in proven}
        treatments = [by_remedy.get(t.remedy, t) for t in treatments]
    if bench.changes:
        name = save_treated(folder.path, bench.present.subject, bench.present.model, bench.changes)
        treatments = [replace(t, model=name) if t.kept else t for t in treatments]
    treated = replace(
        report,
        treatments=tuple(treatments),
        verification=verification,
        timings={**report.timings, "treat_seconds": time.perf_counter() - started},
        live=subject,
    )
    return folder.save(treated)


def _bench(
    folder: RunFolder, report: Report, subject: Subject, evidence: Mapping[str, Any], executor: Executor
) -> Bench:
    """The subject as it was audited. Raises BadInput where it is another one by now, or can't be treated."""
    context = admit(subject, describe_only=False, seed=int(report.plan["seed"]), fan=executor).context
    prints = gatherers()[Fingerprints].gather(Fingerprints(), context)
    before = folder.about()
    about = identity(context, prints, before["source"], describe_only=False)
    if "pool" in before["fingerprints"]:  # what was brought to the audit is not asked for again
        about["fingerprints"]["pool"] = before["fingerprints"]["pool"]
    about |= {name: before.get(name, "") for name in ("relabelled", "labels")}
    RunFolder.open(folder.path, about)
    refuse_shared_rows(prints)
    check_evidence(evidence, context)
    priced = folder.timed()
    context = replace(context, training={} if priced is None else priced["training"])
    store = folder.store(about)
    delta = float(report.subject["metric"]["delta"])
    return Bench(context, Examined(context, report.findings, store), store, delta, evidence)


def try_all(
    bench: Bench, todo: Todo, ends: float, progress: Progress, again: Callable[[Collection[str]], Todo]
) -> tuple[list[Treatment], list[Attempt]]:
    """Every remedy once, each on what was kept before it. `again`: what is left to try, after one that trains is kept.

    Attempts are of those that were judged by a metric. `ends`: on the monotonic clock.
    """
    treatments: list[Treatment] = []
    attempts: list[Attempt] = []
    while todo:
        remedy, finding = todo[0]
        treatment, attempt = tried(bench, remedy, finding, ends - time.monotonic(), progress)
        treatments.append(treatment)
        if attempt is not None and remedy.yardstick != "gate":
            attempts.append(attempt)
        done = {t.remedy for t in treatments}
        if treatment.kept and not remedy.fits_on_validation and not remedy.combines:
            todo = again(done)
        todo = [pair for pair in todo if pair[0].id not in done]
    return treatments, attempts


def tried(
    bench: Bench, remedy: Remedy, finding: Finding, left: float, progress: Progress
) -> tuple[Treatment, Attempt | None]:
    """What came of one remedy. That it can't be applied, or its training diverges, is a result: the others go on."""
    try:
        if not (seeds := bench.seeds(remedy, left)):
            dear = f"would take about {bench.seconds_of(remedy, bench.fewest):.0f} s, more than is left of the budget"
            return bench.left_out(remedy, finding, f"{dear}: give a larger --budget"), None
        with working(progress, f"trying {remedy.id}", bench.seconds_of(remedy, seeds)):
            attempt = bench.attempt(remedy, finding, seeds)
    except Unavailable as error:
        return bench.left_out(remedy, finding, str(error)), None
    except DiskFull:
        raise
    except Exception as error:  # the user's own code among others
        return bench.left_out(remedy, finding, failure(error), "error"), None
    return attempt.treatment, attempt


def _training(bench: Bench, folder: RunFolder, progress: Progress) -> float:
    """Seconds of one training."""
    with working(progress, "pricing a training", 0):
        return seconds_of_training(bench.present, folder.timed())


def refuse_shared_rows(prints: FingerprintsData) -> None:
    """Raises BadInput where rows that choose would also prove.

    Tables of few values, and predictions of few, repeat by nature: as often as rows of test repeat among themselves.
    """
    shared = copies(prints.test, prints.validation)
    _, which, times = np.unique(prints.test, axis=0, return_inverse=True, return_counts=True)
    by_nature = (times[which] > 1).mean()
    if shared.mean() - by_nature > TOLERATED / 1000:
        raise BadInput(
            f"{int(shared.sum())} of the {len(shared)} rows of test also stand in validation: what is chosen on them "
            "can't be proven on them. Give validation rows of its own, or leave it out"
        )


def check_evidence(evidence: Mapping[str, Any], context: Context) -> None:
    """What the user gave along, checked against train before anything is trained. Raises BadInput."""
    train = context.subject.train
    unknown = [key for key in evidence if key not in EVIDENCE]
    if unknown:
        raise BadInput(f"evidence {unknown[0]!r} is not known: give {', '.join(EVIDENCE)}")
    if evidence and train is None:
        raise BadInput("evidence is about rows of train, and no train split was given")
    if "drop" in evidence:
        listed(evidence["drop"], train.ids)
    if "labels" in evidence:
        corrected(evidence["labels"], train, context.facts.classes, context.facts.task)
    if "out_of_fold" in evidence:
        given_probabilities(evidence["out_of_fold"], len(train), len(context.facts.classes))


def _find(given: Report | str | Path, subject: Subject | None) -> tuple[RunFolder, Report, Subject]:
    """A run that can be treated. Raises BadInput."""
    folder, report, subject = found(given, subject)
    if report.subject.get("describe_only"):
        raise BadInput(
            f"{folder.path} was described on all of test, so nothing is left to prove a remedy on: audit again "
            "without --describe-only, into another folder with --out"
        )
    return folder, report, subject
