"""The report as one HTML file that loads nothing: its one script and one style stand in it, known by their hashes."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from uncork.report import brief, charts, evidence, numbers, pixels, words
from uncork.report.bars import Ladder, Mark, Row, ladder
from uncork.schema.beside import Beside
from uncork.schema.finding import Finding
from uncork.schema.report import Report, Treatment

#: Of a page without a script: it may style itself and nothing more.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

#: What a card tells of its probe's manual, under the reader's own questions.
_MANUAL = (
    ("What it measures", "What it measures"),
    ("Why it matters", "Why it limits the model"),
    ("How it is estimated", "Estimator"),
    ("What would make it wrong", "When it misleads"),
    ("Its remedies", "Remedies and their safety"),
    ("References", "References"),
)


@functools.cache
def templates() -> Environment:
    """Of all pages: whatever is not markup already is cleaned and escaped, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("uncork.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )


@functools.cache
def asset(name: str) -> str:
    """Text of a file beside the templates."""
    loader = PackageLoader("uncork.report")
    return loader.get_source(Environment(), name)[0]


def policy() -> str:
    """Of the report: this very script and this very style, and nothing else at all."""
    script, style = (
        "'sha256-" + base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode() + "'"
        for name in ("report.js", "style.css")
    )
    own = f"script-src {script}; style-src {style}"
    return f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'"


def render(report: Report, beside: Beside | None = None) -> str:
    """Text of report.html. `beside`: what a run knows besides its report; the page is complete without."""
    beside = beside or Beside()
    groups = words.groups(report)
    page = (
        templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            words=words,
            brief=brief,
            evidence=evidence,
            number=numbers.number,
            interval=numbers.interval,
            quantity=numbers.quantity,
            percent=numbers.percent,
            png=pixels.png,
            treatment_bars=_treatment_bars,
            cases=beside.cases,
            remedies=beside.remedies,
            policy=policy(),
            style=Markup(asset("style.css")),
            script=Markup(asset("report.js")),
            opening=words.opening(report),
            dots=_dots(report),
            removals=_removals(report),
            ladders=_ladders(report, groups),
            groups=[(name, [f for f in found if f.verdict not in words.NOT_MEASURED]) for name, found in groups],
            unmeasured=[f for _, found in groups for f in found if f.verdict in words.NOT_MEASURED],
            anchors=_anchors(report.findings),
            manuals={id: _manual(manual) for id, manual in beside.probes.items()},
            mistakes=[evidence.mistake(beside.cases, m) for m in beside.cases.mistakes],
            files={name: evidence.download(text) for name, text in beside.files.items()},
            about={
                "Subject": report.subject,
                "Plan": report.plan,
                "Timings": report.timings,
                "Artifacts": report.artifacts,
                "Environment": report.environment,
            },
        )
    )
    return page.lstrip()  # the doctype must be the first thing in the file, the macros before it leave blank lines


def _finalize(value: Any) -> Any:
    """Every printed value loses its control characters; escaping comes after."""
    return value if isinstance(value, Markup) else numbers.clean(value)


def _manual(sections: Any) -> list[tuple[str, Markup]]:
    return [(title, evidence.prose(sections[name])) for title, name in _MANUAL if sections.get(name)]


def _anchors(findings: Sequence[Finding]) -> dict[str, str]:
    """Id → the place on the page: the id itself where it can stand in an address."""
    plain = {f.id: re.sub(r"[^a-z0-9-]+", "-", f.id.lower()) for f in findings}
    taken = list(plain.values())
    return {id: a if taken.count(a) == 1 else f"{a}-{i}" for i, (id, a) in enumerate(plain.items())}


def _dots(report: Report) -> Markup | None:
    wrong = words.wrong_per_1000(report.headline)
    return None if wrong is None else Markup(charts.dots(wrong))


def _removals(report: Report) -> Ladder | None:
    rows = [
        Row(r.name, r.finding, r.mood, "", (Mark(r.proof, "realised" if r.tried else "predicted", r.gain),))
        for r in brief.removals(report)
    ]
    return ladder(rows, words.unit_of(report))


def _ladders(report: Report, groups: Sequence[tuple[str, list[Finding]]]) -> list[tuple[str, Ladder]]:
    """Headrooms in the metric's own unit, each beside what its remedies realised; others share no axis with them."""
    unit, delta, found = words.unit_of(report), words.delta_of(report), []
    for name in ("Quality", "Investments"):
        measured = [f for f in dict(groups).get(name, []) if f.verdict not in words.NOT_MEASURED]
        rows = [_row(report, f) for f in measured if f.headroom is not None and f.headroom.unit == unit]
        drawn = ladder(rows, unit, delta)
        if drawn is not None:
            found.append((name, drawn))
    return found


def _row(report: Report, finding: Finding) -> Row:
    marks = [Mark("predicted", "predicted", finding.headroom)] if finding.headroom is not None else []
    marks += [
        Mark(f"{t.remedy} realised on {t.stage}", "realised", t.realised)
        for t in report.treatments
        if t.finding == finding.id and t.realised is not None and t.realised.unit == words.unit_of(report)
    ]
    return Row(finding.title, finding.id, words.mood(finding), words.verdict_of(finding), tuple(marks))


def _treatment_bars(treatment: Treatment) -> Ladder | None:
    """What was predicted beside what was realised, over the model before and over the control."""
    named = (
        ("predicted", "predicted", treatment.predicted),
        (f"realised on {treatment.stage}", "realised", treatment.realised),
        ("against its control", "control", treatment.against_control),
    )
    unit = words.unit_of_gain(treatment)
    marks = tuple(Mark(name, kind, e) for name, kind, e in named if e is not None and e.unit == unit)
    return ladder([Row(treatment.remedy, treatment.finding, treatment.verdict, "", marks)], unit)
