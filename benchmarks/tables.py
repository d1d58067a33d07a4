"""What does boosting gain over a small net on real tables? python -m benchmarks.tables writes docs/tables.md

Four tables of the shared data (examples/tables.py), audited, then treated by swap-family and by stack. About six
minutes on two idle cores.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import runpy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uncork import Report, Subject, audit, treat
from uncork.gather import trial
from uncork.report.numbers import interval, number
from uncork.schema.report import Treatment

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "tables.py"))
TABLES = ("covertype", "bank", "credit", "housing")
WHOLE = "housing"  # the one whose whole audit is shown
REMEDIES = ("stack", "swap-family")

PAGE = """# What does boosting gain over a small net, on tables?

Written by `python -m benchmarks.tables`. Four real tables ([examples/tables.py](../examples/tables.py)):
{train:,} rows to train on, {validation:,} to choose on, {test:,} to prove on. Each net is a perceptron of two hidden
layers of 64, trained for {epochs} epochs by a recipe that one would set at first; it reads categories and missing
values through a `TableEncoder` fitted on train. Intervals are 95 %; gains are paired on the same rows, positive where
better.

## On validation

*Tuned*: the net's recipe by as many learning rates and weight decays as every rival family got settings, screened on
the same fifth of train and trained anew; here however long that takes. Nothing was chosen on these rows.

{validated}

## What was tried

On the fifth of train that screens, by the best of each family's four settings. The winner of these is the only rival
that validation sees.

{tried}

## Proven on test

Each remedy by itself on the audited net: `stack` first, then `swap-family`. Test was opened once for each that was
kept, the second time at a smaller α, which the ledger sees to.

{proven}

## A regression through the whole audit

California housing: a column of categories, and 207 of 20,640 rows without a number of bedrooms. Everything that an
audit of three minutes says of the net; what is not run says what time it would take, on this machine.

{whole}
"""


def gained(report: Report, name: str) -> str:
    return interval(report.finding("wrong-family").estimates.get(name))


def validated(name: str, report: Report) -> list[str]:
    """A line: the model, tuned, the rival, and the gains."""
    finding = report.finding("wrong-family")
    best = finding.summary.split(".")[0].removeprefix("The best rival is ").split(",")[0]
    metric = report.subject["metric"]["unit"]
    figures = [gained(report, of) for of in ("model", "tuned_model", "rival")]
    gains = [interval(finding.headroom), gained(report, "tuning_gain"), gained(report, "rival_over_tuned_model")]
    return [name, metric, *figures[:2], f"{best}: {figures[2]}", *gains]


def tried(name: str, report: Report) -> list[list[str]]:
    rows = report.finding("wrong-family").details[0].data["rows"]
    return [[name, family, setting, number(value)] for family, setting, value, *_ in rows]


def proven(name: str, treatment: Treatment, report: Report) -> list[str]:
    opened = report.verification
    line = [name, treatment.remedy, treatment.changes or treatment.reason, interval(treatment.on_validation)]
    if not treatment.kept or opened is None:
        return [*line, f"not kept: {treatment.verdict}", "", "", ""]
    verdict = "proven" if opened.proven else "not proven"
    return [*line, *map(interval, (opened.before, opened.after, opened.gain)), f"{verdict} at α {opened.alpha:.2g}"]


def whole(report: Report) -> list[list[str]]:
    return [[f"`{f.id}`", f.column, f.verdict, f.summary or f.reason] for f in report.findings]


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    sections: dict[str, list[Any]] = {"validated": [], "tried": [], "proven": [], "whole": []}
    trial.MOST_TUNING = float("inf")  # so that no busy machine leaves a net untuned
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNCORK_STATE"] = f"{folder}/state"
        for name in TABLES:
            make: Callable[[], Subject] = EXAMPLE[name]
            probes = None if name == WHOLE else ["wrong-family"]
            report = audit(make(), budget="3m" if name == WHOLE else "10m", probes=probes, out=f"{folder}/{name}")
            sections["validated"].append(validated(name, report))
            sections["tried"] += tried(name, report)
            sections["whole"] += whole(report) if name == WHOLE else []
            for remedy in REMEDIES:
                treated = treat(report, budget="15m", remedies=[remedy])
                sections["proven"] += [proven(name, t, treated) for t in treated.treatments]
                print(name, remedy, sections["proven"][-1], flush=True)
    head = {
        "validated": ["table", "metric", "net", "net, tuned", "best rival", "gain of the rival", "gain of tuning"],
        "tried": ["table", "family", "best setting", "on the fifth"],
        "proven": ["table", "remedy", "what it did", "gain on validation", "net on test", "after", "gain on test", ""],
        "whole": ["finding", "column", "verdict", "in words"],
    }
    head["validated"].append("gain of the rival over tuned")
    shown = {part: lines(head[part], rows) for part, rows in sections.items()}
    sizes = {name.lower(): EXAMPLE[name] for name in ("TRAIN", "VALIDATION", "TEST", "EPOCHS")}
    page = PAGE.format(**shown, **sizes)
    (DOCS / "tables.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
