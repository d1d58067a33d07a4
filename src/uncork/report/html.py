"""The report as one HTML file that loads nothing: no script, no font, no image from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from uncork.report import charts, numbers, words
from uncork.report.numbers import quantity
from uncork.schema.finding import Detail, Estimate, Finding
from uncork.schema.report import Report

#: The page may style itself and nothing more. There is no script, so none is allowed.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_DRAW = {
    "curve": charts.curve,
    "histogram": charts.histogram,
    "matrix": charts.matrix,
    "map": charts.scatter,
}


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


def render(report: Report) -> str:
    """Text of report.html."""
    env = templates()
    env.globals.update(words=words, number=numbers.number, interval=numbers.interval, percent=numbers.percent)
    env.globals.update(quantity=numbers.quantity, draw=_draw, table=_table, numeric=_numeric, cell=_cell, flat=_flat)
    groups = words.groups(report)
    measured = [(g, [f for f in found if f.verdict not in words.NOT_MEASURED]) for g, found in groups]
    page = env.get_template("report.html.j2").render(
        report=report,
        policy=POLICY,
        opening=words.opening(report),
        forest=_forest(report, groups),
        dots=_dots(report),
        shares=_shares(report, groups),
        groups=[(g, found) for g, found in measured if found],
        unmeasured=[f for _, found in groups for f in found if f.verdict in words.NOT_MEASURED],
        about={
            "Subject": report.subject,
            "Plan": report.plan,
            "Timings": report.timings,
            "Artifacts": report.artifacts,
            "Environment": report.environment,
        },
    )
    return page.lstrip()  # the doctype must be the first thing in the file, the macros before it leave blank lines


def _finalize(value: Any) -> Any:
    """Every printed value loses its control characters; escaping comes after."""
    return value if isinstance(value, Markup) else numbers.clean(value)


def _defects(groups: list[tuple[str, list[Finding]]]) -> list[Finding]:
    quality = dict(groups).get("Quality", [])
    return [f for f in quality if f.headroom is not None and f.verdict not in words.NOT_MEASURED]


def _forest(report: Report, groups: list[tuple[str, list[Finding]]]) -> Markup | None:
    """Defects of quality whose headroom is in the metric's own unit; others share no axis with them."""
    unit = words.unit_of(report)
    found = [f for f in _defects(groups) if f.headroom is not None and f.headroom.unit == unit]
    bars = [charts.Bar(f.title, f.headroom, f.verdict) for f in found if f.headroom is not None]
    return Markup(charts.forest(bars, words.delta_of(report), unit)) if bars else None


def _dots(report: Report) -> Markup | None:
    wrong = words.wrong_per_1000(report.headline)
    return None if wrong is None else Markup(charts.dots(wrong))


def _shares(report: Report, groups: list[tuple[str, list[Finding]]]) -> list[tuple[Finding, Markup]]:
    """For each proven bottleneck, what mending it alone would take from the wrong predictions."""
    wrong = words.wrong_per_1000(report.headline)
    if wrong is None:
        return []
    found = [f for f in _defects(groups) if f.verdict == "bottleneck"]
    return [(f, Markup(charts.share(f.headroom, wrong))) for f in found if f.headroom is not None]


def _draw(detail: Detail) -> Markup | None:
    """The picture of one piece of evidence; None where it can't be drawn as its kind says, and the page says so."""
    try:
        return Markup(_DRAW[detail.kind](detail.data))
    except (KeyError, IndexError, TypeError, ValueError):  # data of a third party's probe
        return None


def _table(detail: Detail) -> tuple[list[Any], list[list[Any]]] | None:
    """Columns and rows of a table or of examples; None for what is drawn, or where the data don't fit."""
    data = detail.data
    try:
        if detail.kind == "table":
            return list(data["columns"]), [list(row) for row in data["rows"]]
        if detail.kind == "examples":
            rows = [[row, *values] for row, values in zip(data["rows"], data["values"], strict=True)]
            return [f"row of {data['split']}", *data["columns"]], rows
    except (KeyError, TypeError, ValueError):
        return None
    return None


def _numeric(rows: list[list[Any]], column: int) -> bool:
    """Whether a column holds nothing but numbers and gaps, and so is set flush right."""
    return all(isinstance(row[column], int | float | None) for row in rows if column < len(row))


def _cell(value: Any) -> str:
    """A table's cell: floats rounded to three digits, whole numbers as they are (they may be row ids)."""
    if value is None:
        return "–"
    return numbers.number(value) if isinstance(value, float) else str(value)


def _flat(tree: Any, path: str = "") -> list[tuple[str, str]]:
    """A JSON tree as (dotted path, value) lines; an estimate is one line."""
    if isinstance(tree, dict) and {"value", "low", "high", "unit"} <= tree.keys():
        return [(path, quantity(Estimate(**tree)))]
    if isinstance(tree, dict):
        return [line for key, value in tree.items() for line in _flat(value, f"{path}.{key}" if path else str(key))]
    if isinstance(tree, list | tuple) and not any(isinstance(x, dict | list | tuple) for x in tree):
        return [(path, ", ".join(map(_cell, tree)) or "none")]
    if isinstance(tree, list | tuple):
        return [(path, json.dumps(tree, ensure_ascii=False, default=str))]
    return [(path, _cell(tree))]
