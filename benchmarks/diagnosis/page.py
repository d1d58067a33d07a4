"""The page and the figure that the benchmark is published as: docs/diagnosis.md and docs/diagnosis.svg."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.diagnosis.cases import metric_of
from benchmarks.diagnosis.picture import picture
from benchmarks.diagnosis.scores import (
    FAULTY,
    RIGHT,
    Half,
    Record,
    Score,
    best_baseline,
    class_of,
    compare,
    detection,
    false_alarm,
    of_half,
    promises,
    reachable,
    right,
    score,
    share,
)
from uncork.report.numbers import UNDETERMINED, interval, number
from uncork.schema.finding import Estimate

OURS = "uncork"
HALVES: tuple[Half, ...] = ("open", "frozen")
MARKS = {"healthy": "·", "indifferent": "~", "faulty": "", "other": ""}

PAGE = """# Does it name the right bottleneck?

Written by `python -m benchmarks.diagnosis`; the text between the tables is by hand, in
`benchmarks/diagnosis/page.py`.

Small nets are trained on {sets} small data sets, each with a fault that is known because it was put there, or with
none: {cases} cases of {designed} that were designed. An auditor sees the subject as a user would give it, and names
what holds it back. What each repair is *really* worth is measured apart, on test with its true labels: the repair is
made, the net is trained again over several seeds (one, where that is surely futile), and compared with the faulty one
row by row. uncork has three minutes a case, half a minute for those of gates, trust and cost, with as many cases side
by side as the machine has cores. An answer is right if it names the plant, or if its repair brings at least {right} %
of what undoing the plant brings. A plant that costs more than {faulty:g} δ (and surely more than δ) makes a case
faulty; one that costs less than δ (and surely less than {faulty:g} δ) leaves it healthy; the others, {indifferent}
here, are counted as neither. δ is {delta:g} errors per 1,000, and {delta_rmse:g} standard deviations of RMSE in
regression.

Thresholds, uncork's and its rivals', were set on the open half of the data sets. Of the frozen half one healthy case
(diabetes) was seen before, in a trial of the runner, and nothing was set by it. Intervals of shares are at 95 %, over
groups of cases (data set × fault) or over data sets, whichever is wider;
nearly all groups hold a single case.

![top-1 and false alarms of each auditor, on the open and on the frozen half](diagnosis.svg)

{comparison}

## Scores

Top-1, top-3, abstained: shares of the faulty cases. False alarms: of the healthy cases, those in which something is
named whose repair gains less than δ; right alarms: those in which it does gain δ, for data sets have faults of their
own. Regret: what the best repair that was tried gains beyond the named one, in δ, over faulty and healthy cases; the
best of several measured gains is somewhat too high, for all alike. Kept: the share of promised headrooms whose
interval, widened by the realised gain's own error, holds what was realised; width: the median of these intervals, in
δ. Slope: of realised on promised gain, with the error of the promise taken out; 1 is perfect. Time: median wall
time of a case, with as many cases side by side as the machine has cores. Errors: audits that failed, which count as
abstaining.

{scores}

{reachable}

Random search promises the best of its trials on the rows it chose it by, so its promises are too large by
construction; rules, flags and guesses promise nothing that has an interval.

### Slope within strata

Strata are by what the best repair of a case gains. Cutting by the gain itself draws each slope towards 0; the one
over all cases is not cut.

{slopes}

## What uncork finds, by fault

Top-1 over the faulty cases of each fault, open and frozen sets together. Few cases stand behind each line.

{by_fault}

## What it promises, by finding

Of the headrooms that uncork promises first, with an interval, those that hold what was realised; and the false alarms.

{by_finding}

## What fails, and why

* **Shortcuts are not named.** The mark tells the label in train and validation alike, and only test, which decides
  nothing, is without it: no probe looks for what a model leans on yet.
* **Scarce data are rarely named.** What twice the rows gain is a forecast, and its interval begins at 0 where the sizes
  seen can't tell a floor from a slow fall; with a hundred rows another family of models is proven better first.
* **Wrong labels are named where leaving out the flagged rows gains enough.** True labels would gain more: of what they
  gain, leaving out regained 62 % on digits (10 % wrong) and 50 % on notmnist (20 %), giving the flagged rows the
  likeliest other class 86 and 27 %, three seeds each. What is promised is the gain of leaving out, what counts as
  realised that of true labels, so that a true promise can count as broken.
* **The faults are of the kinds that probes were built for.** The frozen half has other data sets, but the same faults,
  so that it guards against thresholds that fit some sets, not against probes that look for what is planted here.
* **A planted shift is named by the gate `split-shift`**, which compares train with validation; here that counts as
  naming the shift, and its opening on a healthy case as a false alarm. What adapting to it would gain is
  not measured: in regret it counts as undoing the shift.
* **Imbalance is named by what logits adjusted to validation's shares of the classes gain.** Repeating rows of rare
  classes, which was tried here as its repair, gains less, so that these promises are neither kept nor broken here.
* **Where several gains can't be told apart**, as a larger rate, more steps and a wider net where a recipe underfits,
  the largest of them is named first, and it need not be the plant.
* Of the gates `leaked-examples` is there, and with retraining `irreproducible-recipe`, which names broken layers; wrong
  input scales and slow loaders have no probe yet.

## Gates, trust and cost

How often each is named where it is planted, and where it is not. These are easier than faults of quality, and are
scored apart: their order among the answers doesn't count. Naming one elsewhere need not be wrong: a net may be
overconfident, or its loader slow, without a plant.

{detection}

## What the faults really cost

Gain from undoing faults of quality and gates, on test, over rows and seeds, ± half its 95 % interval: errors per
1,000, in regression RMSE in thousandths of a standard deviation of the target. · marks cases that count as healthy,
~ those that count as neither. Sets in italics are frozen.

{oracle}

## What this does not show

The faults are planted, one (now and then two) at a time, in small nets on small data; real trouble is more mixed, and
nobody measured here whether people act on the answers. The data sets were chosen by us. Cells of a fault on a set are
mostly single cases with one seed of the data. A repair counts as its gain in the form in which it was tried here:
another way of repairing the same fault may be worth more or less. A finding whose repair was not tried in a case
counts as no gain. The rivals are our own implementations of what practitioners do, tuned on the same half as uncork;
whoever knows how to tune them better can score their own (`python -m benchmarks.diagnosis --auditor module:name`).
"""


def write(records: Mapping[str, Sequence[Record]], folder: Path, *, designed: int) -> None:
    """Writes diagnosis.md and diagnosis.svg into `folder`, from the records of each auditor (`scores.load`).

    `designed`: how many cases there should be.
    """
    records = {name: records[name] for name in sorted(records, key=lambda name: (name != OURS, name))}
    scores = {(name, half): score(name, of, half) for name, of in records.items() for half in HALVES}
    # Each case once, whoever answered it.
    cases = list({r.key: r for of in records.values() for r in of}.values())
    ours = records.get(OURS, [])
    text = PAGE.format(
        sets=len({place(r)[0] for r in cases}),
        cases=len(cases),
        designed=designed,
        right=number(100 * RIGHT),
        faulty=FAULTY,
        indifferent=sum(class_of(r.truth) == "indifferent" for r in cases),
        delta=metric_of(2).delta,
        delta_rmse=metric_of(0).delta,
        comparison="  \n".join(
            [*(_comparison(records, half) for half in (*HALVES, "both")), _comparison(_unshifted(records), "both")]
        ),
        scores=_scores(scores.values()),
        reachable=_reachable(cases),
        slopes=_slopes(scores.values()),
        by_fault=_by_fault(ours),
        by_finding=_by_finding(ours),
        detection=_detection(records),
        oracle=_oracle(cases),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "diagnosis.md").write_text(text)
    (folder / "diagnosis.svg").write_text(picture(list(scores.values())))


def place(record: Record) -> tuple[str, str, str]:
    """(data set, fault, severity) from the key, `data--fault--severity--seed`."""
    data, fault, severity, *_ = [*record.key.split("--"), "", ""]
    return data, fault, severity


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table: the first columns are words, the others figures and aligned to the right."""
    lines = [head, [*["---"] * words, *["--:"] * (len(head) - words)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(estimate: Estimate | None) -> str:
    """`52 % (40 to 64)`; n/a where there is nothing to estimate it from."""
    if estimate is None or estimate.value is None:
        return "n/a"
    ends = "undetermined"
    if estimate.low is not None and estimate.high is not None:
        ends = f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f}"
    return f"{100 * estimate.value:.0f} % ({ends})".replace("-", "−")


def figure(estimate: Estimate | None) -> str:
    """The figure with its interval, undetermined where it has none; n/a where there is nothing to estimate it from."""
    if estimate is None or estimate.n == 0:
        return "n/a"
    return interval(estimate) if estimate.determined else UNDETERMINED


def _comparison(records: Mapping[str, Sequence[Record]], half: Half) -> str:
    rival = best_baseline(records, half, ours=OURS)
    if OURS not in records or rival is None:
        return f"On the {half} half there is nothing to compare."
    better = compare(of_half(records[OURS], half), of_half(records[rival], half))
    where = f"the {half} half" if half in HALVES else "both halves"
    shifts = any("domain-shift" in r.truth["findings"] for r in records[OURS])
    left_out = "" if shifts or half in HALVES else ", without the planted shifts,"
    return (
        f"On {where}{left_out} the best rival by top-1 is `{rival}`; uncork's top-1 minus its, on the same cases: "
        f"{percent(better).replace(' %', ' points')}."
    )


def _unshifted(records: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """Without the planted shifts, which our rivals have no name for."""
    return {name: [r for r in of if "domain-shift" not in r.truth["findings"]] for name, of in records.items()}


def _scores(scores: Iterable[Score]) -> str:
    head = ["auditor", "half", "faulty, healthy cases", "top-1", "top-3", "abstained", "false alarms", "right alarms"]
    head += ["regret, δ", "kept", "promises", "width, δ", "slope", "time, s", "errors"]
    rows = [
        [
            f"`{s.auditor}`",
            s.half,
            f"{s.faulty}, {s.healthy}",
            *[percent(e) for e in (s.top1, s.top3, s.abstained, s.false_alarms, s.right_alarms)],
            figure(s.regret),
            percent(s.coverage),
            str(s.promised),
            figure(s.width),
            figure(s.slope),
            number(s.seconds.value),
            str(s.errors),
        ]
        for s in scores
    ]
    return table(head, rows, words=2)


def _reachable(cases: Sequence[Record]) -> str:
    faulty = [r for r in cases if class_of(r.truth) == "faulty"]
    lost = [r for r in faulty if not reachable(r.truth)]
    if not lost:
        return "In every faulty case at least one single repair is a right answer."
    return (
        f"In {len(lost)} of the {len(faulty)} faulty cases no single repair that was tried brings 80 % of what undoing "
        "all plants brings (two faults at once): nobody can be right there, and everybody is scored as wrong."
    )


def _slopes(scores: Iterable[Score]) -> str:
    made = [s for s in scores if s.promised]
    if not made:
        return "No auditor has promised anything with an interval."
    strata = list(made[0].strata)
    rows = [[f"`{s.auditor}`", s.half, figure(s.slope), *[figure(s.strata[name]) for name in strata]] for s in made]
    return table(["auditor", "half", "all", *strata], rows, words=2)


def _by_fault(ours: Sequence[Record]) -> str:
    faulty = [r for r in ours if class_of(r.truth) == "faulty"]
    rows = []
    for fault in sorted({place(r)[1] for r in faulty}):
        chosen = [r for r in faulty if place(r)[1] == fault]
        named = [r.first.finding for r in chosen if r.first is not None and not right(r.truth, r.first)]
        instead = ", ".join(
            f"{name} × {named.count(name)}" for name in sorted(set(named), key=lambda n: -named.count(n))
        )
        silent = sum(r.first is None for r in chosen)
        hit = share(chosen, lambda r: right(r.truth, r.first))
        rows.append([fault, str(len(chosen)), percent(hit), str(silent), instead or "none"])
    return table(["fault", "cases", "top-1", "nothing named", "wrong answers"], rows)


def _by_finding(ours: Sequence[Record]) -> str:
    of_quality = [r for r in ours if r.first is not None and class_of(r.truth) != "other"]
    rows = []
    for finding in sorted({r.first.finding for r in of_quality if r.first is not None}):
        chosen = [r for r in of_quality if r.first is not None and r.first.finding == finding]
        made = promises(chosen)
        alarms = sum(false_alarm(r) for r in chosen if class_of(r.truth) == "healthy")
        rows.append([finding, str(len(chosen)), f"{sum(p.kept for p in made)} of {len(made)}", str(alarms)])
    return table(["finding", "named first", "promises kept", "false alarms"], rows)


def _detection(records: Mapping[str, Sequence[Record]]) -> str:
    rows = []
    for name, of in records.items():
        for half in HALVES:
            for finding, (there, elsewhere) in detection(of_half(of, half)).items():
                if name == OURS or there.value or elsewhere.value:
                    rows.append([f"`{name}`", half, finding, percent(there), percent(elsewhere)])
    return table(["auditor", "half", "finding", "named where planted", "named elsewhere"], rows, words=3)


def _oracle(cases: Sequence[Record]) -> str:
    frozen = {place(r)[0]: r.frozen for r in cases}
    sets = sorted(frozen, key=lambda name: (frozen[name], name))
    plants = [place(r)[1:] for r in cases if r.truth["oracle"] and r.truth["column"] in ("quality", "gate")]
    rows = []
    for fault, severity in sorted(set(plants), key=lambda p: (p[0], _size(p[1]))):
        cells = {place(r)[0]: cell(r) for r in cases if place(r)[1:] == (fault, severity)}
        rows.append([f"{fault}, {severity}", *[cells.get(name, "") for name in sets]])
    return table(["fault, severity", *[f"*{name}*" if frozen[name] else name for name in sets]], rows)


def cell(record: Record) -> str:
    """`41 ± 12` with the mark of the case's class; in regression in thousandths, so that figures are of like size."""
    truth = record.truth
    found = truth["oracle"]
    if found is None or found["value"] is None:
        return "undetermined"
    scale = 1000.0 if truth["metric"] == "rmse" else 1.0
    shown = f"{scale * found['value']:.0f}"
    if found["low"] is not None and found["high"] is not None:
        shown += f" ± {scale * (found['high'] - found['low']) / 2:.0f}"
    return f"{shown} {MARKS[class_of(truth)]}".strip().replace("-", "−")


def _size(severity: str) -> float:
    try:
        return float(severity)
    except ValueError:
        return 0.0
