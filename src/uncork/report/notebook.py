"""The report in a notebook: one small table that brings its own style and loads nothing."""

from __future__ import annotations

from markupsafe import Markup, escape

from uncork.report import words
from uncork.report.numbers import clean, quantity
from uncork.schema.finding import Finding
from uncork.schema.report import Report

#: Words as well as colours, legible on light and dark.
_COLOURS = {"bottleneck": "#c2710c", "clear": "#2e8b57", "error": "#d64545"}
_CELL = "text-align:left;vertical-align:top;padding:.2em .8em .2em 0"
_ROW = Markup('<tr><td style="{cell};color:{colour}">{verdict}</td><td style="{cell}">{what}</td>{figure}</tr>')
_FIGURE = Markup('<td style="{cell}">{figure}</td>')
_HEAD = Markup('<tr><th style="{cell}" colspan="3">{group}</th></tr>')
_PAGE = Markup(
    '<div style="max-width:60em"><p><strong>uncork · {name}</strong></p>{opening}'
    '<table style="border-collapse:collapse"><tbody>{rows}</tbody></table><p>{multiplicity}</p>{where}</div>'
)


def render(report: Report) -> str:
    """HTML of what the report says first, and of every finding with its figure or its reason; all text escaped."""
    rows = []
    for group, findings in words.groups(report):
        rows.append(_HEAD.format(cell=_CELL, group=group))
        rows += [_row(finding) for finding in findings]
    return str(
        _PAGE.format(
            name=_plain(report.subject.get("name") or "unnamed subject"),
            opening=_paragraphs(words.opening(report)),
            rows=Markup("").join(rows),
            multiplicity=words.MULTIPLICITY,
            where=_paragraphs([f"Everything in pictures: {report.folder}/report.html"] if report.folder else []),
        )
    )


def _row(finding: Finding) -> Markup:
    measured = finding.verdict not in words.NOT_MEASURED
    below = finding.summary if measured else finding.reason or "no reason was recorded"
    figure = quantity(finding.headroom) if measured and finding.headroom is not None else "–"
    what = Markup("{} <code>{}</code>").format(_plain(finding.title), _plain(finding.id))
    return _ROW.format(
        cell=_CELL,
        colour=_COLOURS.get(finding.verdict, "inherit"),
        verdict=words.verdict_of(finding),
        what=what + (Markup("<br>") + _plain(below) if below else ""),
        figure=_FIGURE.format(cell=_CELL, figure=_plain(figure)),
    )


def _paragraphs(lines: list[str]) -> Markup:
    return Markup("").join(Markup("<p>{}</p>").format(_plain(line)) for line in lines)


def _plain(text: object) -> Markup:
    return escape(clean(text))
