"""Runs over time in a terminal: 80 columns, readable without colour."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from uncork.report import comparison, words
from uncork.report.numbers import clean, interval, number, quantity
from uncork.schema.finding import Estimate, Finding
from uncork.schema.history import Change, History, Run
from uncork.schema.report import Headline

_WIDEST = 100


def render(history: History, console: Console) -> None:
    """Prints a table for each metric and test split, whose figures may be compared, and what can't be read."""
    width = min(console.width, _WIDEST)
    console.print(_text(f"uncork history · {history.folder}", "bold"), width=width)
    for heading, found in _groups(history):
        console.print()
        console.print(_text(heading, "bold underline"), width=width)
        console.print(_table(found), width=width)
    for run in history.runs:
        if run.report is None:
            console.print()
            console.print(_text(f"{run.name} can't be read: {run.reason}", "bold red"), width=width)
    if sum(run.report is not None for run in history.runs) > 1:
        console.print()
        console.print(_text("What changed between two: uncork history RUN LATER", "dim"), width=width)


def _groups(history: History) -> list[tuple[str, list[Run]]]:
    """Runs by metric and test rows, in the order of the first."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in history.runs:
        if run.report is not None:
            h = run.report.headline
            groups.setdefault((run.rows or str(h.n), f"{h.metric} {h.unit}"), []).append(run)
    named = []
    for found in groups.values():
        assert found[0].report is not None
        h = found[0].report.headline
        same = "the same " if len(found) > 1 and found[0].rows else ""
        which = "" if found[0].rows or len(found) == 1 else ", if these predictions are of the same rows"
        named.append((f"{h.metric}, {h.unit or 'no unit'}, on {same}{number(h.n)} test rows{which}", found))
    return named


def _table(runs: list[Run]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("audited", min_width=len("2000-01-01 00:00"), no_wrap=True)
    for heading, ratio in (("run", 20), ("headline", 18), ("open gates; principal", 22)):
        table.add_column(heading, overflow="fold", ratio=ratio)
    for run in runs:
        assert run.report is not None
        gates = "".join(f"{gate.id} open; " for gate in run.report.gates_open)
        leads = ", ".join(run.report.principal) or "none proven"
        headline = interval(_estimate(run.report.headline))
        table.add_row(*map(_text, (run.when or "–", run.name, headline, gates + leads)))
    return table


def render_change(change: Change, console: Console) -> None:
    """Prints the headline of both, each finding whose verdict is another, and whether the model is better."""
    width = min(console.width, _WIDEST)

    def say(text: str, style: str = "") -> None:
        console.print(_text(text, style), width=width)

    say(f"uncork history · {change.a.name} → {change.b.name}", "bold")
    for run in (change.a, change.b):
        assert run.report is not None
        h = run.report.headline
        say(f"{run.when or 'at no known time'}: {h.metric} {quantity(_estimate(h))}, {number(h.n)} test rows")
    if change.a.rows != change.b.rows or (not change.a.rows and change.comparison is None):
        say("These are other test rows, so the two figures can't be compared.", "cyan")
    console.print()
    if not change.findings:
        say("No verdict changed.")
    for before, after in change.findings:
        known = after or before
        assert known is not None
        say(f"{known.id}: {_told(before)} → {_told(after)}")
    console.print()
    if change.comparison is None:
        say(f"Whether the model is better can't be said: {change.reason}", "cyan")
    else:
        comparison.render(change.comparison, console)


def _told(finding: Finding | None) -> str:
    if finding is None:
        return "not looked at"
    figure = "" if finding.headroom is None else f", {quantity(finding.headroom)}"
    return f"{words.verdict_of(finding)}{figure}"


def _estimate(h: Headline) -> Estimate:
    return Estimate(h.value, h.low, h.high, h.unit, h.n, h.method)


def _text(text: str, style: str = "") -> Text:
    return Text(clean(text), style=style, overflow="fold")
