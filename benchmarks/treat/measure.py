"""One case: audited, treated, and every model that took part scored on test with its true labels.

uncork opens test for what it keeps only. Here each attempt is scored on it as well, after the treatment: that chooses
nothing, and is on rows that neither the prediction nor the choice has seen.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.diagnosis.__main__ import OUT, place, run
from benchmarks.diagnosis.auditors import alone, answers
from benchmarks.diagnosis.cases import PlantedCase
from benchmarks.diagnosis.truth import outputs
from uncork import Report, Split, Subject, audit, treat
from uncork.gather._contract import Context
from uncork.gather.forward import forward
from uncork.run import treat as treatment_of
from uncork.run.verify import Attempt
from uncork.run.yardstick import View
from uncork.schema.artifacts import PassData
from uncork.stats.score import gain, score

#: Time for the audit, and for the treatment.
BUDGETS = {"planted": ("2m", "3m"), "healthy": ("2m", "3m"), "real": ("3m", "5m")}


def measure(part: str, case: PlantedCase, *, quick: bool = False) -> dict[str, Any]:
    """The content of a case's file. `named` are the audit's answers as the diagnosis benchmark reads them.

    A treatment's `on_test` and `control_on_test` are the remedy's gain over the model before it and over its control,
    in its yardstick; `gain` is the final model's over the audited one in the subject's metric, None where nothing was
    kept.
    """
    ground, subject = case.planted().faulty, case.subject()
    truth = truth_of(case) if part == "planted" else None
    budgets = ("1m", "1m") if quick else BUDGETS[part]
    report, attempts, seconds = treated(subject, budgets)
    test, metric = Split(ground.test[0], ground.test_truth), subject.metric
    passes: dict[str, PassData] = {}

    def on_test(context: Context) -> PassData:
        key = context.model.fingerprint()
        if key not in passes:
            passes[key] = forward(context.model, test, name="test")
        return passes[key]

    def scored(attempt: Attempt) -> dict[str, Any]:
        view = View(on_test, lambda context: context.of(context.subject.replace(validation=test), context.model))
        sides = {"on_test": (attempt.before,), "control_on_test": attempt.control}
        return {name: asdict(attempt.yardstick.gain(view, side, attempt.after)) for name, side in sides.items()}

    beside = {attempt.treatment.remedy: scored(attempt) for attempt in attempts}
    old = outputs(ground, subject.model, "test")
    kept = [on_test(attempt.after[0]) for attempt in attempts if attempt.treatment.kept]
    return {
        "key": case.key,
        "group": case.group,
        "data": case.data,
        "fault": case.fault,
        "severity": case.severity,
        "rows": {name: len(getattr(ground, name)[1]) for name in ("train", "validation", "test")},
        "recipe": f"{ground.recipe.epochs} epochs, batches of {ground.recipe.batch_size}, rate {ground.recipe.lr:g}",
        "budgets": budgets,
        "metric": metric.name,
        "unit": metric.unit,
        "delta": metric.delta,
        "before": asdict(score(metric, old)),
        "after": asdict(score(metric, kept[-1] if kept else old)),
        "gain": asdict(gain(metric, old, kept[-1])) if kept else None,
        "principal": list(report.principal),
        "named": [list(answer) for answer in answers(report)],
        "remedies": {finding.id: list(finding.remedies) for finding in report.findings},
        "treatments": [{**asdict(t), **beside.get(t.remedy, {})} for t in report.treatments],
        "proof": report.verification and asdict(report.verification),
        "truth": truth,
        "audit_seconds": seconds[0],
        "treat_seconds": seconds[1],
    }


def treated(subject: Subject, budgets: tuple[str, str]) -> tuple[Report, list[Attempt], tuple[float, float]]:
    """The treated report, what was attempted, and the seconds of audit and treatment; with a ledger of its own."""
    attempts: list[Attempt] = []
    tried = treatment_of.tried

    def kept_in_mind(*arguments: Any) -> Any:
        treatment, attempt = tried(*arguments)
        attempts.extend([attempt] if attempt is not None else [])
        return treatment, attempt

    with (
        tempfile.TemporaryDirectory() as scratch,
        alone(scratch),
        mock.patch.object(treatment_of, "tried", kept_in_mind),
    ):
        started = time.perf_counter()
        report = audit(subject, out=Path(scratch) / "run", budget=budgets[0], seed=0)
        audited = time.perf_counter()
        report = treat(report, budget=budgets[1])
    return report, attempts, (audited - started, time.perf_counter() - audited)


def truth_of(case: PlantedCase) -> dict[str, Any]:
    """What repairs are really worth, from the diagnosis benchmark's file, which is made where it is missing."""
    path = place(OUT, case, "truth")
    said = "" if path.exists() else run(case, ["truth"], OUT)
    if not path.exists():
        raise RuntimeError(said)
    found: dict[str, Any] = json.loads(path.read_text())
    return found
