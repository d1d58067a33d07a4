"""The report in a terminal: 80 columns, readable without colour.

User text enters as `Text`, never as markup, and loses its control characters.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from uncork.report import words
from uncork.report.numbers import clean, interval
from uncork.schema.finding import Finding
from uncork.schema.report import Report, Treatment

_WIDEST = 100
_STYLES = {
    "bottleneck": "bold yellow",
    "undetermined": "cyan",
    "clear": "green",
    "error": "bold red",
    "not-applicable": "dim",
    "not-run": "dim",
}


def render(report: Report, console: Console) -> None:
    """Prints the whole report, the most urgent first."""
    width = min(console.width, _WIDEST)

    def say(text: str, style: str = "", indent: int = 0) -> None:
        console.print(Padding(_text(text, style), (0, 0, 0, indent), expand=False), width=width)

    say(f"uncork · {report.subject.get('name') or 'unnamed subject'}", "bold")
    for line in words.opening(report):
        console.print()
        say(line, "bold red" if line.startswith("Open gate") else "")
    if report.findings:
        console.print()
        console.print(_findings(report), width=width)
    console.print()
    say(words.MULTIPLICITY, "dim")
    if report.investments:
        console.print()
        say("What the next money buys", "bold underline")
        for line in words.bought(report):
            say(line, indent=2)
    if report.treatments:
        console.print()
        say("Treatments", "bold underline")
        console.print(_treatments(report), width=width)
        say(words.OVER_SEEDS, "dim")
        for aside in filter(None, map(_asides, report.treatments)):
            say(aside, indent=2)
    if check := report.verification:
        console.print()
        say("Verification on test", "bold underline")
        say(words.verified(check))
        for effect in words.effects(check):
            say(effect)
    console.print()
    say(f"Everything in pictures: {report.folder}/report.html" if report.folder else "This report was not written.")


def _findings(report: Report) -> Table:
    """One table, a section for each group that may be compared."""
    table = _table("verdict", "finding", "headroom")
    table.columns[0].min_width = len("not applicable")
    table.columns[0].no_wrap = True
    table.columns[1].ratio, table.columns[2].ratio = 5, 3
    for i, (group, findings) in enumerate(words.groups(report)):
        table.add_row(_text(("\n" if i else "") + group.upper(), "bold"), _text(""), _text(""))
        for f in findings:
            table.add_row(_text(words.verdict_of(f), _STYLES[f.verdict]), _what(f), _figure(f))
    return table


def _what(finding: Finding) -> Text:
    what = _text(finding.title)
    what.append_text(_text(f"\n{finding.id}{', preview' if finding.preview else ''}", "dim"))
    for line in _below(finding):
        what.append_text(_text(f"\n{line}", "italic"))
    return what


def _figure(finding: Finding) -> Text:
    if finding.headroom is None or finding.verdict in words.NOT_MEASURED:
        return _text("–")
    figure = _text(interval(finding.headroom))
    return figure.append_text(_text(f"\n{finding.headroom.unit}", "dim"))


def _below(finding: Finding) -> list[str]:
    if finding.verdict in words.NOT_MEASURED:
        return [finding.reason or "no reason was recorded"]
    settle = words.settle(finding) if finding.verdict == "undetermined" else []
    return [line for line in (finding.summary, words.judged(finding), *settle) if line]


def _treatments(report: Report) -> Table:
    table = _table("remedy", "predicted", "realised", "vs control", "verdict")
    # At 80 columns the longest id of a finding and the longest word of a verdict are not broken.
    for column, ratio in zip(table.columns, (22, 14, 14, 14, 14), strict=True):
        column.ratio = ratio
    for t in report.treatments:
        name = _text(t.remedy, "bold")
        name.append_text(_text(f"\n{t.finding}\n{t.safety}, {t.stage}\n{words.unit_of_gain(t)}", "dim"))
        figures = [_text(interval(e) if e is not None else "–") for e in (t.predicted, t.realised, t.against_control)]
        table.add_row(name, *figures, _text(words.outcome(t), "bold"))
    return table


def _asides(treatment: Treatment) -> str:
    """What was changed and what else moved, in one line; empty where there is nothing to say."""
    effects = "; ".join(words.effects(treatment)) if treatment.kept else ""
    beside = f"beside it, on validation: {effects}" if effects else ""
    asides = [a for a in (treatment.changes, treatment.reason, words.cost(treatment), beside) if a]
    return f"{treatment.remedy}: {'; '.join(asides)}" if asides else ""


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(clean(text), style=style, overflow="fold")
