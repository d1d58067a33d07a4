"""The page docs/treat.md, from the records of each part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.diagnosis import scores
from benchmarks.diagnosis.page import figure, percent, table
from benchmarks.treat import gains
from benchmarks.treat.gains import Held, Record, enough, estimate, gain, hurt, judged, kept, named, promises, share_of
from uncork.report.numbers import interval, number
from uncork.schema.finding import Estimate
from uncork.stats.means import mean

PAGE = """# What do treatments realise?

Written by `python -m benchmarks.treat`; the text between the tables is by hand, in `benchmarks/treat/page.py`.

Subjects are audited and then treated at the default settings, but for the budgets. *Planted*: the faults of quality
on the open half of the [diagnosis benchmark](diagnosis.md)'s data sets. *Healthy*: the same sets without a fault.
*Real*: MLPs on larger parts of five sets, trained once by a recipe that one would set at first. uncork chooses
remedies on validation and opens test for what it keeps; here every remedy that was tried is scored on test as well,
with the true labels, after everything was chosen. So what is called realised is on rows that neither the prediction
nor the choice has seen. Gains are positive where better: errors per 1,000, in regression RMSE in standard deviations
of the target; intervals are at 95 %.

{there}

## In short

{short}

Shares: Clopper–Pearson over groups of cases (data set × fault) or over data sets, whichever interval is wider.

## Planted faults

*Named*: the first finding of quality that the audit is sure of. *Remedies*: what was kept; in italics what was tried
for the named finding and dropped, where nothing was kept. *Predicted*: the headroom of the first of them. *Realised*:
the final model's gain over the audited one on test, 0 where nothing was kept. *Oracle*: what undoing the fault gains,
over five training seeds, as the diagnosis benchmark measures it. *Share*: realised over oracle, where the plant makes
the case faulty (costs more than {faulty:g} δ, and surely more than {healthy_below:g} δ); "?" where the noise of both
leaves open on which side of {right} % it lies (the half-widths of both add as squares, as if they were independent).
One audited checkpoint is treated, with its own luck, so that a share may exceed 100 %.

{faults}

## Promised and realised

Treatments that were tried, with a prediction that has an interval. *Kept promises*: the share whose prediction's
interval, widened by the realised gain's own error, holds it. Means in δ, as are slopes: of realised on predicted, with
the prediction's error taken out; 1 is perfect. What was kept was chosen on validation for its gain, not on test. *In
another unit*: remedies judged by log-loss and the like, which have no place in means and slopes of the metric.

{calibration}

## By remedy

All parts together. *Tried*; *left out*, as not applicable, or too dear for what was left of the budget; *failed*.
*Better*, *worse*: surely so on test, over the model before it, in the remedy's own yardstick, as the mean over its
training seeds. Means in δ over those with a promise that are judged in the subject's metric. Trainings by the recipe,
and seconds, are medians over those tried.

{by_remedy}

## Healthy subjects

A case is *hurt* where the final model is surely worse on test than the audited one, in the metric, or a kept remedy is
in its own yardstick. Without any harm each look is wrong in 2.5 % of cases. Data sets have faults of their own, so that
keeping something is no error.

{controls}

## Real subjects

*Proven*: on test by uncork itself, before anything else was looked at. *Trainings*: by the recipe, of all that was
tried. *Seconds*: of the audit, and of the treatment, on the wall.

{subjects}

{tried}

## What this does not show

Nets are small, data sets small and chosen by us, faults planted one or two at a time. Remedies and thresholds were made
with the open half of the sets in sight; the frozen half was not treated. The budgets cut short what would take longer.
Eighteen planted cases and one healthy one ran beside other work on the same two cores, so that less fitted their
budgets.
What a remedy is promised is what its probe measured on validation, mostly at half of train; what it realises is
measured with all of train, and after whatever was kept before it.
"""


@dataclass(frozen=True)
class Row:
    """One case, for shares of cases."""

    group: str
    hit: bool


def text(records: Mapping[str, Sequence[Record]], missing: Mapping[str, Sequence[str]]) -> str:
    """The whole page, of each part's records. `missing`: keys of the cases that were designed and are not measured."""
    made = [held for part, of in records.items() for record in of for held in promises(record, part)]
    page = PAGE.format(
        there=_there(records, missing),
        short=_short(records, made),
        faulty=scores.FAULTY,
        healthy_below=scores.HEALTHY,
        right=number(100 * scores.RIGHT),
        faults=_faults(records["planted"]),
        calibration=_calibration(made),
        by_remedy=_by_remedy([record for of in records.values() for record in of]),
        controls=_controls(records["healthy"]),
        subjects=_subjects(records["real"]),
        tried=_tried(records["real"]),
    )
    return re.sub(r"(?<=[ (])-(?=\d)", "−", page)  # a minus sign, but in names and rulers of tables


def _there(records: Mapping[str, Sequence[Record]], missing: Mapping[str, Sequence[str]]) -> str:
    counts = []
    for part, of in records.items():
        budgets = sorted({" and ".join(record["budgets"]) for record in of})
        given = f" (budgets of audit and treatment: {', '.join(budgets)})" if budgets else ""
        counts.append(f"{part} {len(of)} of {len(of) + len(missing[part])}{given}")
    absent = [f"{key} of {part}" for part, of in missing.items() for key in of]
    said = f"Cases measured, of those designed: {', '.join(counts)}."
    return f"{said} **Not measured: {', '.join(absent)}.**" if absent else said


def _rate(of: Iterable[Record], hit: Callable[[Record], bool]) -> str:
    rows = [Row(record["group"], hit(record)) for record in of]
    return f"{sum(row.hit for row in rows)} of {len(rows)}: {percent(scores.share(rows, lambda row: row.hit))}"


def _short(records: Mapping[str, Sequence[Record]], made: Sequence[Held]) -> str:
    faulty = [r for r in records["planted"] if scores.class_of(r["truth"]) == "faulty"]
    right = [r for r in faulty if scores.right(r["truth"], named(r))]
    regained = f"regain {number(100 * scores.RIGHT)} % of the oracle's gain"
    lines = {
        f"faulty cases that {regained}": _rate(faulty, enough),
        f"faulty cases, rightly named, that {regained}": _rate(right, enough),
        "faulty cases where test shows a gain": _rate(faulty, lambda r: (gain(r).low or 0.0) > 0),
        "faulty cases that are hurt": _rate(faulty, hurt),
        "healthy cases that are hurt": _rate(records["healthy"], hurt),
        "real subjects with a proven gain": _rate(records["real"], lambda r: bool(r["proof"] and r["proof"]["proven"])),
        "real subjects that are hurt": _rate(records["real"], hurt),
        "promises kept": f"{percent(_promised(made))} of {len(made)}",
        "slope of realised on promised": figure(scores.slope([held.promise for held in made if held.own])),
    }
    return table(["what", "measured"], [list(line) for line in lines.items()])


def _faults(of: Sequence[Record]) -> str:
    rows = []
    for r in sorted(of, key=lambda r: (r["fault"], r["severity"], r["data"])):
        answer, found = named(r), share_of(r)
        shown = kept(r) or [t for t in judged(r) if answer and t["finding"] == answer.finding]
        remedies = ", ".join(t["remedy"] if t["kept"] else f"*{t['remedy']}*" for t in shown) or "none"
        told = scores.class_of(r["truth"]) if found is None else "" if enough(r) else gains.why(r)
        verdict = "" if found is None else ("yes" if enough(r) else "no") + ("" if gains.sure(r) else "?")
        figures = [
            figure(estimate(shown[0]["predicted"]) if shown else None),
            _gained(r),
            figure(estimate(r["truth"]["oracle"])),
            "" if found is None else f"{100 * found:.0f} %",
        ]
        what = [f"{r['fault']}, {number(r['severity'])}", r["data"], answer.finding if answer else "nothing", remedies]
        cost = [number(sum(t["trainings"] for t in judged(r))), number(r["treat_seconds"])]
        rows.append([*what, told, *figures, verdict, *cost])
    head = ["fault", "set", "named", "remedies", "why not", "predicted", "realised", "oracle", "share"]
    return _table([*head, f"≥ {number(100 * scores.RIGHT)} %", "trainings", "s"], rows, words=5)


def _calibration(made: Sequence[Held]) -> str:
    own = [held for held in made if held.own]
    lines = {
        "all": made,
        "in the subject's metric": own,
        **{f"… {part}": [held for held in own if held.part == part] for part in ("planted", "healthy", "real")},
        "… that were kept": [held for held in own if held.kept],
        "in another unit": [held for held in made if not held.own],
    }
    rows = []
    for name, of in lines.items():
        scaled = of if all(held.own for held in of) else []
        slope = figure(scores.slope([held.promise for held in scaled])) if scaled else "n/a"
        rows.append([name, str(len(of)), percent(_promised(of)), *_means(scaled), slope])
    return table(["treatments", "number", "kept promises", "predicted, δ", "realised, δ", "slope"], rows)


def _promised(made: Sequence[Held]) -> Estimate:
    return scores.share(made, lambda held: held.promise.kept)


def _means(made: Sequence[Held]) -> list[str]:
    """Of predicted and of realised gains, over groups."""
    if not made:
        return ["n/a", "n/a"]
    groups = np.unique([held.group for held in made], return_inverse=True)[1]
    sides = ([held.promise.predicted for held in made], [held.promise.realised for held in made])
    return [interval(mean(np.array(side), clusters=groups, unit="δ")) for side in sides]


def _by_remedy(of: Sequence[Record]) -> str:
    rows = []
    for remedy in sorted({t["remedy"] for r in of for t in r["treatments"]}):
        alone = [{**r, "treatments": [t for t in r["treatments"] if t["remedy"] == remedy]} for r in of]
        asked, did = ([t for r in alone for t in part(r)] for part in (lambda r: r["treatments"], judged))
        seen = [Estimate(**t["on_test"]) for t in did]
        failed = sum(t["verdict"] == "error" for t in asked)
        counts = [len(did), len(asked) - len(did) - failed, failed, sum(t["kept"] for t in did)]
        counts += [sum((e.low or 0.0) > 0 for e in seen), sum((e.high or 0.0) < 0 for e in seen)]
        medians = [number(float(np.median([t[x] for t in did]))) if did else "" for x in ("trainings", "seconds")]
        made = [held for r in alone for held in promises(r, "") if held.own]
        rows.append([remedy, *map(str, counts), *_means(made), *medians])
    head = ["remedy", "tried", "left out", "failed", "kept", "better", "worse", "predicted, δ", "realised, δ"]
    return _table([*head, "trainings", "s"], rows)


def _controls(of: Sequence[Record]) -> str:
    rows = []
    for r in sorted(of, key=lambda r: r["key"]):
        words = ", ".join(f"{t['remedy']} ({interval(Estimate(**t['on_test']))})" for t in kept(r)) or "nothing"
        rows.append([r["key"], words, "**yes**" if hurt(r) else "no", str(len(judged(r))), _gained(r)])
    rates = f"Hurt: {_rate(of, hurt)}. Something was kept: {_rate(of, lambda r: bool(kept(r)))}.\n\n" if of else ""
    head = ["case", "kept (gain on test in its own yardstick)", "hurt", "tried", "gain on test"]
    return rates + _table(head, rows, words=3)


def _subjects(of: Sequence[Record]) -> str:
    rows = [
        [
            r["data"],
            f"{r['rows']['train']:,} rows, {r['recipe']}",
            ", ".join(r["principal"]) or "none proven",
            ", ".join(t["remedy"] for t in kept(r)) or "nothing",
            "" if r["proof"] is None else "yes" if r["proof"]["proven"] else "no",
            *[interval(Estimate(**r[name])) for name in ("before", "after")],
            _gained(r),
            number(sum(t["trainings"] for t in judged(r))),
            f"{number(r['audit_seconds'])}, {number(r['treat_seconds'])}",
        ]
        for r in of
    ]
    head = ["set", "recipe", "principal", "kept", "proven", "test before", "after", "gain", "trainings", "seconds"]
    return _table(head, rows, words=5)


def _tried(of: Sequence[Record]) -> str:
    rows = []
    for r, t in [(record, treatment) for record in of for treatment in record["treatments"]]:
        done = bool(t.get("on_test"))
        came = ("**kept**" if t["kept"] else "dropped") if done else f"left out: {t['reason']}"
        names = ("predicted", "on_validation", "on_test", "control_on_test")
        cost = [t["on_test"]["unit"], number(t["trainings"]), number(t["seconds"])] if done else ["", "", ""]
        rows.append([r["data"], t["remedy"], t["finding"], came, *[figure(estimate(t.get(n))) for n in names], *cost])
    head = ["set", "remedy", "of", "what came of it", "predicted", "on validation", "on test", "over control, on test"]
    return _table([*head, "unit", "trainings", "s"], rows, words=4)


def _gained(record: Record) -> str:
    return interval(gain(record)) if record["gain"] else "0"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    return table(head, rows, words=words) if rows else "Not measured."
