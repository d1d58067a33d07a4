"""What a manager asks, answered from a Report: what is wrong, what to do, at what cost, how sure, what stays unseen."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from uncork.report import words
from uncork.report.numbers import number, percent, quantity
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Report, Treatment

_TRIED = ("not-applicable", "error", "planned")
_MOST = 5


@dataclass(frozen=True)
class Step:
    """One thing to do, and the command that does it where there is one. `finding`: whose card tells more."""

    text: str
    command: str = ""
    finding: str = ""


@dataclass(frozen=True)
class Removal:
    """How many of the wrong predictions one remedy would take away, or took where it was `tried`.

    `proof` says on what that rests, `mood` is the verdict whose colour it has.
    """

    name: str
    finding: str
    gain: Estimate
    proof: str
    mood: str
    tried: bool


def right_and_wrong(report: Report) -> str:
    """`About 927 of 1,000 predictions are right and 73 wrong.`; empty where the metric does not count them."""
    wrong = words.wrong_per_1000(report.headline)
    if wrong is None:
        return ""
    ends = [v for v in (report.headline.low, report.headline.high) if v is not None]
    if report.headline.unit.startswith("right"):
        ends = [1000 - v for v in reversed(ends)]
    between = f" ({' to '.join(number(round(v)) for v in ends)})" if len(ends) == 2 else ""
    return (
        f"Of 1,000 predictions about {number(round(1000 - wrong))} are right and {number(round(wrong))} wrong{between}."
    )


def removals(report: Report) -> list[Removal]:
    """What was realised by each remedy tried, then what findings predict that is not surely nothing."""
    if words.wrong_per_1000(report.headline) is None:
        return []
    unit = words.unit_of(report)
    done = [
        Removal(t.remedy, t.finding, t.realised, _proof(t), t.verdict, True)
        for t in report.treatments
        if t.realised is not None and t.realised.unit == unit
    ]
    tried = {r.finding for r in done}
    proofs = {"bottleneck": ("predicted", "helps"), "undetermined": ("predicted, not proven", "undetermined")}
    hoped = [
        Removal(f.title, f.id, f.headroom, *proofs[f.verdict], False)
        for f in report.findings
        if f.headroom is not None
        and f.headroom.unit == unit
        and f.id not in tried
        and f.tier == "defect"
        and f.column == "quality"
        and f.verdict in proofs
    ]
    return done + hoped


def _proof(treatment: Treatment) -> str:
    if treatment.verdict == "helps":
        return f"realised, {'proven on test' if treatment.stage == 'test' else 'on validation'}"
    return f"tried, {words.outcome(treatment)}"


def steps(report: Report) -> list[Step]:
    """What to do next, the first thing first: gates, what was kept, what is proven, what would settle the rest."""
    found = [*_gates(report), *_kept(report), *_proven(report), *_time(report), *_settle(report), *_invest(report)]
    if not found:
        measured = any(f.verdict not in words.NOT_MEASURED for f in report.findings)
        nothing = "Nothing here is worth mending: no gate is open, and no bottleneck is proven."
        found = [Step(nothing if measured else "Nothing could be measured here; each question's reason stands below.")]
    return found[:_MOST]


def _gates(report: Report) -> list[Step]:
    closed = {t.finding for t in report.treatments if t.verdict == "closed"}
    return [_mend(report, f, "Close the gate first") for f in report.gates_open if f.id not in closed]


def _kept(report: Report) -> list[Step]:
    kept = [t.remedy for t in report.treatments if t.kept]
    if not kept:
        return []
    names, place, check = ", ".join(kept), f"{report.folder or 'RUN'}/treated", report.verification
    if check is None:
        return [Step(f"The treated model in {place} ({names}) is better on validation; test was not opened for it.")]
    if check.proven:
        return [Step(f"Use the treated model in {place} ({names}): proven on test.")]
    return [Step(f"Keep the model as it is: {names} helped on validation, and test does not confirm it.")]


def _proven(report: Report) -> list[Step]:
    order = {id: i for i, id in enumerate(report.principal)}
    tried = {t.finding for t in report.treatments if t.verdict not in _TRIED}
    found = [
        f
        for f in report.findings
        if f.verdict == "bottleneck" and f.tier == "defect" and f.id not in tried and f.column != "cost"
    ]
    return [_mend(report, f, "Mend") for f in sorted(found, key=lambda f: order.get(f.id, len(order)))]


def _mend(report: Report, finding: Finding, verb: str) -> Step:
    if not finding.remedies:
        return Step(
            f"{verb}: {finding.title}. No remedy of uncork's does it; its card says what would.", "", finding.id
        )
    return Step(f"{verb}: {finding.title}.", words.command(report, finding.remedies), finding.id)


def _time(report: Report) -> list[Step]:
    left = [f for f in report.findings if f.verdict == "not-run"]
    if not left:
        return []
    many = len(left) > 1
    asked = f"{number(len(left))} questions were" if many else "1 question was"
    first = f" ({left[0].reason})" if left[0].reason else ""
    return [Step(f"Audit again with more time: {asked} not asked{first}.", "", left[0].id)]


def _settle(report: Report) -> list[Step]:
    """What more rows would settle soonest, and what only a trial can tell."""
    open_ = [f for f in report.findings if f.verdict == "undetermined"]
    by_more = [f for f in open_ if f.rows_to_settle or f.seeds_to_settle]
    first = sorted(by_more, key=lambda f: f.rows_to_settle or float("inf"))[:1]
    steps = [Step(f"Settle “{f.title}”: {'; '.join(words.settle(f))}.", "", f.id) for f in first]
    tried = {t.finding for t in report.treatments if t.verdict not in _TRIED}
    by_trial = [f for f in open_ if f.headroom and f.headroom.value is None and f.remedies and f.id not in tried]
    return steps + [
        Step(f"“{f.title}”: only a trial would tell.", words.command(report, f.remedies), f.id) for f in by_trial
    ]


def _invest(report: Report) -> list[Step]:
    return [
        Step(f"Or invest: {f.title}: {quantity(f.headroom)}.", "", f.id)
        for f in report.findings
        if f.tier == "investment" and f.verdict == "bottleneck"
    ]


def costs(report: Report) -> list[Step]:
    """What the next steps cost, where it is known, and how to learn it where it isn't."""
    lines = [f"{t.remedy}: {spent}." for t in report.treatments if (spent := words.cost(t))]
    lines += [f"{line}." for line in words.bought(report)]
    lines += [f"{t.remedy}: {t.reason}." for t in report.treatments if t.verdict == "planned" and t.reason]
    known = [Step(line) for line in lines]
    if not lines and any(f.remedies and f.verdict in ("bottleneck", "undetermined") for f in report.findings):
        ask = "Not priced yet. This says how long each remedy would take, and tries nothing:"
        known = [Step(ask, f"uncork treat {folder(report)} --dry-run")]
    seconds = sum(report.timings.get(name) or 0.0 for name in ("audit_seconds", "treat_seconds"))
    return [*known, *([Step(f"This report took {number(seconds)} s.")] if seconds else [])]


def folder(report: Report) -> str:
    """The run's folder as a shell takes it."""
    return shlex.quote(report.folder or "RUN")


def explain(report: Report, id: str) -> str:
    """The command that tells all about one row of validation."""
    return f"uncork explain {folder(report)} {shlex.quote(id)} --split validation"


def sureness(report: Report) -> list[str]:
    """What the intervals mean, and what has been proven on rows that nothing had touched."""
    h = report.headline
    level = percent(Estimate(h.value, h.low, h.high, h.unit, h.n, h.method).level)
    lines = [
        "Every figure has an interval, and its card says how often such intervals hold the truth: "
        f"the first one {level} of the time, on {number(h.n)} rows."
    ]
    if report.verification is not None:
        lines.append("Gains marked “on test” were measured once, on rows that no choice had seen.")
    elif any(t.realised for t in report.treatments):
        lines.append("Gains are from validation, where they were chosen, so they flatter; test was not opened.")
    else:
        lines.append("Gains are predictions: nothing has been tried yet.")
    return lines


def unseen(report: Report) -> list[str]:
    """What these rows and this budget could not have shown."""
    lines = []
    for f in report.findings:
        if f.verdict != "undetermined" or f.headroom is None:
            continue
        least = None if f.detectable is None else f"a gain under {number(f.detectable)} {f.headroom.unit}"
        known = f"all that is known is {quantity(f.headroom)}"
        lines.append(f"“{f.title}”: {f'{least} would likely have gone unproven' if least else known}.")
    counts = {v: sum(f.verdict == v for f in report.findings) for v in words.NOT_MEASURED}
    if any(counts.values()):
        each = [f"{n} {verdict.replace('-', ' ')}" for verdict, n in counts.items() if n]
        lines.append(
            f"{number(sum(counts.values()))} of {len(report.findings)} questions have no answer: {', '.join(each)}."
        )
    return lines or ["Every question was asked, and answered for or against."]
