"""The treatment, from top to bottom: pick remedies, try each against its control, keep what helps, prove it once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from uncork.derived.copies import TOLERATED, copies
from uncork.gather._contract import Context, gatherers
from uncork.remedies._contract import remedies as known_remedies
from uncork.remedies.drop_examples import given_probabilities, listed
from uncork.run.admit import admit
from uncork.run.bench import Bench
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import identity
from uncork.run.progress import Progress, Silent, duration, working
from uncork.run.save import save_treated
from uncork.run.source import subject_of
from uncork.run.verify import Attempt, verify
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.schema.contract import Remedy
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.finding import Finding
from uncork.schema.report import Report, Treatment
from uncork.schema.subject import Subject


def treat(
    report_or_folder: Report | str | Path,
    *,
    budget: str | float = "10m",
    remedies: Sequence[str] | None = None,
    evidence: Mapping[str, Any] | None = None,
    subject: Subject | None = None,
    backend: str = "loky",
    address: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Tries remedies on an audited subject, keeps those that help on validation, and proves the result once on test.

    A remedy helps when it beats both the model before it and its control of equal compute. `remedies`: ids to try,
    default those of proven and of undetermined findings, gates first. `evidence`: what some remedies can be given,
    `{"drop": ids of train rows}` or `{"out_of_fold": (n, K) probabilities}`. `subject`: needed where the run was made
    from Python objects in another process. `backend`, `address`: as of `audit`. Raises BadInput where the run
    can't be treated.
    """
    started, progress, seconds = time.perf_counter(), progress or Silent(), duration(budget)
    folder, report, subject = _find(report_or_folder, subject)
    seed = int(report.plan["seed"])
    admitted = admit(subject, describe_only=False, seed=seed, fan=Executor(backend, address))
    prints = gatherers()[Fingerprints].gather(Fingerprints(), admitted.context)
    before = folder.about()
    about = identity(admitted.context, prints, before["source"], describe_only=False)
    if "pool" in before["fingerprints"]:  # what was brought to the audit is not asked for again
        about["fingerprints"]["pool"] = before["fingerprints"]["pool"]
    about["relabelled"] = before.get("relabelled", "")
    RunFolder.open(folder.path, about)
    refuse_shared_rows(prints)

    # Try what is worth trying; each remedy starts from what was kept before it.
    evidence = checked(evidence or {}, admitted.context)
    bench = Bench(admitted.context, folder, about, float(report.subject["metric"]["delta"]), evidence)
    todo = worth_trying(report, remedies)
    trains = any(remedy.price(subject, 1.0) > remedy.price(subject, 0.0) for remedy, _ in todo)
    training, judging = bench.price_of_training() if trains else 0.0, bench.price_of_judging()
    treatments: list[Treatment] = []
    attempts: list[Attempt] = []
    for remedy, finding in todo:
        price = remedy.price(subject, training) + judging
        if time.perf_counter() - started + price > seconds:
            reason = f"would take about {price:.0f} s, more than is left of the budget: give a larger --budget"
            treatments.append(_left_out(remedy, finding, reason))
            continue
        with working(progress, f"trying {remedy.id}", price):
            try:
                attempt = bench.attempt(remedy, finding)
            except Unavailable as e:
                treatments.append(_left_out(remedy, finding, str(e)))
                continue
            except UncorkError as e:  # such as a training that diverged: a result, and the other remedies go on
                treatments.append(replace(_left_out(remedy, finding, str(e)), verdict="error"))
                continue
        treatments.append(attempt.treatment)
        if remedy.yardstick != "gate":
            attempts.append(attempt)

    # Open test once, if there is something to prove.
    verification = None
    if any(a.treatment.kept for a in attempts):
        with working(progress, "proving it on test", bench.price_of_proof(len(attempts))):
            verification, proven = verify(bench.baseline, bench.present, attempts)
        by_remedy = {t.remedy: t for t in proven}
        treatments = [by_remedy.get(t.remedy, t) for t in treatments]
    if bench.changes:
        name = save_treated(folder.path, bench.present.subject, bench.changes)
        treatments = [replace(t, model=name) if t.kept else t for t in treatments]
    treated = replace(
        report,
        treatments=tuple(treatments),
        verification=verification,
        timings={**report.timings, "treat_seconds": time.perf_counter() - started},
        live=subject,
    )
    return folder.save(treated)


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


def checked(evidence: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """What the user gave along, checked against train before anything is trained. Raises BadInput."""
    train = context.subject.train
    if evidence and train is None:
        raise BadInput("evidence is about rows of train, and no train split was given")
    if "drop" in evidence:
        listed(evidence["drop"], train.ids)
    if "out_of_fold" in evidence:
        given_probabilities(evidence["out_of_fold"], len(train), len(context.facts.classes))
    return evidence


def _find(given: Report | str | Path, subject: Subject | None) -> tuple[RunFolder, Report, Subject]:
    """The run's folder, its report, and its subject: given, still in memory, or made again from its source."""
    if isinstance(given, Report):
        if given.folder is None:
            raise BadInput("this report belongs to no run folder: treat the one that audit returned, or its folder")
        folder, report = RunFolder(Path(given.folder)), given
    else:
        folder = RunFolder.at(given)
        report = folder.load()
    if report.subject.get("describe_only"):
        raise BadInput(
            f"{folder.path} was described on all of test, so nothing is left to prove a remedy on: audit again "
            "without --describe-only, into another folder with --out"
        )
    subject = subject or report.live or subject_of(folder.about()["source"], folder.path)
    return folder, report, subject


def worth_trying(report: Report, asked: Sequence[str] | None) -> list[tuple[Remedy, Finding]]:
    """(remedy, finding) in the order of trying: gates, what trains, what is fitted on validation.

    Asked for, a remedy is tried in any case.
    """
    known = known_remedies()
    for id in asked or ():
        if id not in known:
            raise BadInput(f"there is no remedy {id!r}: choose from {', '.join(known)}")
    chosen: dict[str, Finding] = {}
    for finding in report.findings:
        for id in finding.remedies:
            if id in known and id not in chosen and (id in asked if asked is not None else _open(finding)):
                chosen[id] = finding
    missing = [id for id in asked or () if id not in chosen]
    if missing:
        raise BadInput(f"{missing[0]} mends no finding of this report: its probe was left out or is not applicable")
    # What is fitted on validation comes last: training again would undo it.
    pairs = [(known[id], finding) for id, finding in chosen.items()]
    return sorted(pairs, key=lambda pair: (pair[1].tier != "gate", pair[0].fits_on_validation))


def _open(finding: Finding) -> bool:
    return finding.verdict in ("bottleneck", "undetermined")


def _left_out(remedy: Remedy, finding: Finding, reason: str) -> Treatment:
    return Treatment(remedy.id, finding.id, remedy.safety, "validation", "not-applicable", False, reason=reason)
