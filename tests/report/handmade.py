"""Reports made by hand, one per situation that a reader may meet."""

from __future__ import annotations

import dataclasses

from uncork.schema.beside import Beside, Cases, Mistake
from uncork.schema.case import Picture, Shown
from uncork.schema.finding import Detail, Estimate, Finding
from uncork.schema.report import Headline, Report, SideEffect, Treatment, Verification

ERRORS = "errors per 1,000"
NASTY = (
    "<script>alert(1)</script> [red]\" ' & 🍾 \x1b[31m "
    + "Donaudampfschifffahrtsgesellschaft" * 6
    + ' "><img src=x onerror=y>'
)


def errors(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, ERRORS, 1250, "paired t over rows", se=6.1, df=7.0)


def details(name: str = "class") -> tuple[Detail, ...]:
    """One of each kind."""
    cells = {"columns": ["row", name, "given"], "rows": [[17, f"{name} a", 0.91], [403, f"{name} b", None]]}
    curve = {
        "x": [0.1, 0.3, 0.5, 0.7, 0.95],
        "y": [0.12, 0.25, 0.41, 0.55, 0.81],
        "low": [0.08, 0.2, 0.35, 0.5, 0.78],
        "high": [0.17, 0.31, 0.48, 0.61, 0.85],
        "x_label": f"confidence {name}",
        "y_label": "share right",
        "diagonal": True,
    }
    counts = {"edges": [-4.0, -2.0, 0.0, 2.0, 4.0], "counts": [3, 21, 80, 11], "x_label": f"margin {name}"}
    return (
        Detail("table", f"Flagged rows {name}", cells, note=f"the first two of 42, {name}"),
        Detail("curve", "Reliability", curve),
        Detail("histogram", "Margins", counts),
        Detail(
            "examples",
            f"Look at these {name}",
            {"split": "train", "rows": [17, 403], "columns": ["text"], "values": [[f"{name} text"], ["fine"]]},
        ),
        Detail(
            "matrix",
            "Confusion",
            {"rows": [name, "dog"], "columns": [name, "dog"], "values": [[40, 3], [7, 50]]},
        ),
        Detail("map", "Features", {"x": [0, 1, 2, 5], "y": [1, 3, 2, 4], "group": [name, "dog", name, "dog"]}),
    )


def quality_report(name: str = "digits-mlp") -> Report:
    labels = Finding(
        "wrong-labels",
        "defect",
        "quality",
        "Wrong training labels hold the model back",
        "bottleneck",
        headroom=errors(21, 9, 33),
        estimates={
            "noise rate": Estimate(0.081, 0.06, 0.104, "share", 2000, "spike-in bounded", se=0.011),
            "gain of dropping": errors(21, 9, 33),
        },
        details=details(),
        remedies=("relabel", "drop-examples"),
        summary="About 8 % of the training labels contradict the evidence.",
        seconds=3.2,
    )
    return Report(
        subject={
            "name": name,
            "task": "classification",
            "classes": ["zero", "one"],
            "metric": {"name": "error", "spec": "error", "unit": ERRORS, "delta": 5.0},
            "sizes": {"train": 2000, "validation": 1250, "test": 1250},
        },
        headline=Headline("error", 83.2, 70.0, 97.0, 1250, ERRORS, "Wilson"),
        principal=("wrong-labels",),
        findings=(
            labels,
            Finding(
                "missing-capacity",
                "defect",
                "quality",
                "A wider model may do better",
                "undetermined",
                headroom=errors(6.4, -3.1, 15.9),
                detectable=15.0,
                rows_to_settle=4100,
            ),
            Finding(
                "wrong-family",
                "defect",
                "quality",
                "No rival family does better",
                "clear",
                headroom=errors(-9, -22, 4),
            ),
            Finding(
                "undertraining",
                "defect",
                "quality",
                "More steps would help",
                "bottleneck",
                headroom=errors(12, 6.2, 18.4),
                remedies=("schedule",),
            ),
            Finding(
                "rare-classes",
                "defect",
                "quality",
                "Rare classes are told apart",
                "undetermined",
                headroom=errors(None, 0, 41),
                detectable=18.2,
            ),
            Finding("leaked-examples", "gate", "quality", "No test row stands in train", "clear"),
            Finding(
                "scarce-data",
                "investment",
                "quality",
                "Twice the data would gain",
                "bottleneck",
                headroom=errors(14, 8, 20),
            ),
            Finding(
                "adversarial-fragility",
                "defect",
                "trust",
                "Attacks",
                "not-applicable",
                reason="no threat is declared: pip install 'uncork[robust]' and state one",
            ),
            Finding("shortcut-features", "defect", "quality", "Shortcuts", "error", reason="ValueError: no groups"),
            Finding(
                "single-model",
                "investment",
                "quality",
                "Ensemble",
                "not-run",
                reason="needs 6 min more than the budget",
            ),
        ),
        plan={"budget_seconds": 600, "pool": {"halves": 8, "arms": ["drop-flagged"]}},
        artifacts={"pass-validation": {"bytes": 120_331}},
        environment={"python": "3.11.7", "torch": "2.13.0", "threads": 2},
        timings={"pool": 41.8, "probes": {"wrong-labels": 3.2}},
        folder="runs/digits-mlp",
    )


def trust_report() -> Report:
    calibration = Finding(
        "miscalibration",
        "defect",
        "trust",
        "Confidence is not correctness",
        "bottleneck",
        headroom=Estimate(61, 47, 75, "exposed per 1,000", 1250, "binomial"),
        estimates={"ece": Estimate(0.0521, 0.041, 0.0629, "", 1250, "debiased, jackknife")},
        details=details()[1:3],
        remedies=("temperature",),
        summary="Answers given with 95 % confidence are right 81 % of the time.",
    )
    base = quality_report("trust")
    return dataclasses.replace(base, findings=(*base.findings[1:3], calibration), principal=())


def gates_report() -> Report:
    leak = Finding(
        "leaked-examples",
        "gate",
        "quality",
        "Test rows stand in train",
        "bottleneck",
        estimates={"leaked test rows": Estimate(40, 40, 40, "rows", 1250, "exact count")},
        remedies=("deduplicate",),
        summary="40 of 1,250 test rows also stand in train.",
        spoils="the headline and every figure measured on validation or test",
    )
    shift = Finding("split-shift", "gate", "quality", "The splits agree", "undetermined", detectable=0.1)
    base = quality_report("leaky")
    headline = dataclasses.replace(base.headline, clean=errors(97, 84, 111))
    return dataclasses.replace(base, headline=headline, findings=(*base.findings[:2], leak, shift))


def treated_report() -> Report:
    relabel = Treatment(
        "relabel",
        "wrong-labels",
        "checked",
        "test",
        "helps",
        kept=True,
        predicted=errors(21, 9, 33),
        realised=errors(18, 6, 30),
        against_control=errors(15, 4, 26),
        side_effects=(
            SideEffect(
                "log-loss",
                Estimate(0.31, 0.28, 0.34, "nats", 1250, "t over rows"),
                Estimate(0.29, 0.26, 0.32, "nats", 1250, "t over rows"),
            ),
        ),
        model="treated/model.pt",
        changes="162 of 2,000 labels changed",
        p_value=0.003,
    )
    schedule = Treatment(
        "schedule",
        "undertraining",
        "checked",
        "validation",
        "undetermined",
        kept=False,
        predicted=errors(12, 6.2, 18.4),
        realised=errors(2, -4, 8),
        against_control=errors(1, -5, 7),
    )
    stuck = Treatment(
        "drop-examples",
        "wrong-labels",
        "checked",
        "validation",
        "error",
        kept=False,
        reason="RuntimeError: no memory",
    )
    check = Verification(
        1,
        0.0304,
        "error",
        errors(83.2, 70, 97),
        errors(65, 52, 78),
        errors(18, 6, 30),
        True,
    )
    return dataclasses.replace(quality_report("treated"), treatments=(relabel, schedule, stuck), verification=check)


def regression_report() -> Report:
    rmse = Estimate(0.021, 0.004, 0.038, "RMSE", 300, "weighted bootstrap")
    found = Finding("overfitting", "defect", "quality", "Overfitting", "bottleneck", headroom=rmse)
    return Report(
        subject={"name": "houses", "task": "regression", "metric": {"name": "rmse", "unit": "RMSE", "delta": None}},
        headline=Headline("rmse", 0.4312, 0.401, 0.463, 300, "RMSE", "weighted bootstrap"),
        principal=("overfitting",),
        findings=(found,),
    )


def describe_only_report() -> Report:
    base = quality_report("described")
    subject = {**base.subject, "describe_only": True, "predictions_only": True}
    return dataclasses.replace(base, subject=subject, principal=(), folder=None)


def nothing_applicable_report() -> Report:
    found = tuple(
        Finding(id, "defect", "quality", id, "not-applicable", reason=f"{id} needs train, which was not given")
        for id in ("wrong-labels", "undertraining", "wrong-family")
    )
    return dataclasses.replace(quality_report("bare"), findings=found, principal=())


def empty_report() -> Report:
    return Report(subject={}, headline=Headline("error", None, None, None, 0), principal=(), findings=())


def nasty_report() -> Report:
    base = treated_report()
    first = dataclasses.replace(
        base.findings[0],
        title=NASTY,
        summary=NASTY,
        details=details(NASTY),
        remedies=(NASTY,),
        estimates={NASTY: dataclasses.replace(errors(1, 0, 2), method=NASTY)},
    )
    refused = Finding("x", "gate", "trust", NASTY, "not-applicable", reason=NASTY)
    treatments = tuple(dataclasses.replace(t, changes=NASTY, reason=NASTY, remedy=NASTY) for t in base.treatments)
    return dataclasses.replace(
        base,
        subject={**base.subject, "name": NASTY, "classes": [NASTY], NASTY: NASTY},
        findings=(first, *base.findings[1:], refused),
        treatments=treatments,
        plan={NASTY: [NASTY, {NASTY: NASTY}]},
        environment={"host": NASTY},
        folder="runs/" + NASTY,
        headline=dataclasses.replace(base.headline, note=NASTY),
    )


def beside(name: str = "dog") -> Beside:
    """Manuals, two rows of train (a picture and a text), one of validation (values), a mistake, and a file."""
    manual = {
        "What it measures": "Which labels are contradicted.",
        "When it misleads": "Ambiguous is not wrong.",
        "References": "A book, 2021.",
    }
    picture = Shown(picture=Picture(2, 2, bytes(range(12))))
    rows = {
        "train": {17: ("id-17", picture), 403: (f"{name}-403", Shown(text=f"A text of a row: {name}"))},
        "validation": {5: ("id-5", Shown(values=((name, 3.25), ("age", name))))},
    }
    return Beside(
        probes={"wrong-labels": manual},
        remedies={"relabel": {"When it fails": f"Where `most` flags are wrong: {name}."}},
        cases=Cases(rows, (Mistake(5, "cat", name, 0.9991),)),
        files={"relabel.csv": f"id,label\nid-17,{name}\n"},
    )


def nasty_beside() -> Beside:
    return beside(NASTY)


REPORTS = {
    "quality": quality_report,
    "trust": trust_report,
    "gates": gates_report,
    "treated": treated_report,
    "regression": regression_report,
    "describe-only": describe_only_report,
    "nothing-applicable": nothing_applicable_report,
    "empty": empty_report,
    "nasty": nasty_report,
}
