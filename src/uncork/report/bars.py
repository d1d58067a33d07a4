"""Intervals as bars under their words: as wide as the page, so that the words stay readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from markupsafe import Markup

from uncork.report.numbers import clean, interval, number, quantity
from uncork.report.svg import Axis, fit, line
from uncork.schema.finding import Estimate

_WIDE, _HIGH = 1000.0, 18.0


@dataclass(frozen=True)
class Mark:
    """One interval of a row. `kind`: how it is drawn: predicted, realised or control. `name`: what it is, in words."""

    name: str
    kind: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """One line: what it is of, its verdict (a CSS class and, in words, `badge`), and its intervals."""

    title: str
    finding: str
    verdict: str
    badge: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Drawn:
    """A mark, its figures in words, and its picture."""

    name: str
    kind: str
    figures: str
    picture: Markup


@dataclass(frozen=True)
class Ladder:
    """Rows on one axis: `low` and `high` are its ends in words; `delta` is where the interesting begins."""

    unit: str
    low: str
    high: str
    delta: str
    rows: tuple[tuple[Row, tuple[Drawn, ...]], ...]


def ladder(rows: Sequence[Row], unit: str, delta: float | None = None) -> Ladder | None:
    """All intervals of `rows` on one axis that holds 0 and δ; None where there are none."""
    ends = [
        v
        for row in rows
        for m in row.marks
        for v in (m.estimate.value, m.estimate.low, m.estimate.high)
        if v is not None
    ]
    if not ends:
        return None
    axis = _round(fit([0.0, *([delta] if delta is not None else []), *ends], 0.0, _WIDE))
    drawn = tuple((row, tuple(_drawn(m, axis, delta) for m in row.marks)) for row in rows)
    return Ladder(unit, number(axis.low), number(axis.high), "" if delta is None else number(delta), drawn)


def _round(axis: Axis) -> Axis:
    """The same out to the next round values, which its ends can be called by."""
    ticks = axis.ticks()
    step = ticks[1] - ticks[0]
    return Axis(math.floor(axis.low / step) * step, math.ceil(axis.high / step) * step, axis.start, axis.end)


def _drawn(mark: Mark, axis: Axis, delta: float | None) -> Drawn:
    e, middle = mark.estimate, _HIGH / 2
    parts = [line(0, middle, _WIDE, middle, "track"), line(axis.at(0), 0, axis.at(0), _HIGH, "zero")]
    if delta is not None:
        parts.append(line(axis.at(delta), 0, axis.at(delta), _HIGH, "delta"))
    if e.low is not None or e.high is not None:
        low = axis.start if e.low is None else axis.at(e.low)
        high = axis.end if e.high is None else axis.at(e.high)
        parts.append(line(low, middle, high, middle, "span"))
        parts += [line(axis.at(v), 4, axis.at(v), _HIGH - 4, "cap") for v in (e.low, e.high) if v is not None]
    if e.value is not None:
        parts.append(line(axis.at(e.value), middle, axis.at(e.value), middle, "dot"))
    label = escape(clean(f"{mark.name}: {quantity(e)}"), {'"': "&quot;"})
    box = f'viewBox="0 0 {_WIDE:.0f} {_HIGH:.0f}" preserveAspectRatio="none"'
    picture = f'<svg class="rail" {box} role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return Drawn(mark.name, mark.kind, interval(e), Markup(picture))
