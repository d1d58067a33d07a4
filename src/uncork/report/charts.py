"""Charts as SVG text: pure functions of numbers, well-formed XML, coloured by the page's CSS variables.

Every mark has a <title> with its figures, so the chart can be read by pointing, and an aria-label sums it up.
"""

from __future__ import annotations

import math
from typing import Any

from uncork.report.numbers import interval, number
from uncork.report.svg import WIDTH, corners, fit, frame, image, line, real, short, text, tooltip
from uncork.schema.finding import Estimate

#: More marks than this are thinned out (and said so): the file must stay small enough to mail.
MOST_POINTS = 2000

#: Groups of a map that are drawn the same on every map.
_MEANT = {"wrong": ("missed", 3.5), "this case": ("here", 7.0)}


def curve(data: dict[str, Any]) -> str:
    """A line with its band, and the diagonal where x and y should agree."""
    lows = data.get("low") or [None] * len(data["x"])
    highs = data.get("high") or [None] * len(data["x"])
    points = [
        (float(x), float(y), low, high)
        for x, y, low, high in zip(data["x"], data["y"], lows, highs, strict=True)
        if real(x) and real(y)
    ]
    band = [(x, float(low), float(high)) for x, _, low, high in points if real(low) and real(high)]
    xs = [p[0] for p in points]
    ys = [p[1] for p in points] + [v for _, low, high in band for v in (low, high)]
    if data.get("diagonal"):
        xs = ys = xs + ys
    across, up = fit(xs, 56, WIDTH - 12), fit(ys, 240, 12)
    parts = [*frame(across, up, str(data.get("x_label", "")), str(data.get("y_label", "")))]
    if data.get("diagonal"):
        low, high = across.low, across.high
        parts.append(line(across.at(low), up.at(low), across.at(high), up.at(high), "diagonal"))
    if band:
        outline = [(x, high) for x, _, high in band] + [(x, low) for x, low, _ in reversed(band)]
        parts.append(f'<polygon class="band" points="{corners(outline, across, up)}"/>')
    parts.append(f'<polyline class="line" points="{corners([p[:2] for p in points], across, up)}"/>')
    for x, y, low, high in points[:: max(1, len(points) // 60)]:
        figures = interval(Estimate(y, low if real(low) else None, high if real(high) else None, "", 0, ""))
        where = f'cx="{across.at(x):.2f}" cy="{up.at(y):.2f}"'
        parts.append(f'<circle class="point" {where} r="3.5">{tooltip(f"{number(x)}: {figures}")}</circle>')
    return image(286, f"{data.get('y_label', '')} against {data.get('x_label', '')}, {len(points)} points", parts)


def histogram(data: dict[str, Any]) -> str:
    """Counts per bin; the area is honest only where bins are of one width."""
    edges, counts = [float(e) for e in data["edges"]], [float(c) for c in data["counts"]]
    across, up = fit(edges, 56, WIDTH - 12, margin=0), fit([0.0, *counts], 240, 12, margin=0)
    parts = [*frame(across, up, str(data.get("x_label", "")), "count")]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x, y = across.at(low), up.at(count)
        size = f'width="{max(across.at(high) - x - 1, 0.5):.2f}" height="{up.at(0) - y:.2f}"'
        title = tooltip(f"{number(low)} to {number(high)}: {number(count)}")
        parts.append(f'<rect class="bin" x="{x:.2f}" y="{y:.2f}" {size}>{title}</rect>')
    return image(286, f"Histogram of {data.get('x_label', '')}, {len(counts)} bins", parts)


def matrix(data: dict[str, Any]) -> str:
    """A heat map; each cell's number stands in it while there is room."""
    rows, columns, values = list(data["rows"]), list(data["columns"]), data["values"]
    left, top = 92.0, 70.0
    side = min((WIDTH - left - 14) / max(len(columns), 1), 56.0)
    largest = max((abs(v) for row in values for v in row if real(v)), default=0.0) or 1.0
    parts = []
    for j, name in enumerate(columns):
        x, y = left + side * (j + 0.5), top - 6
        turn = f' transform="rotate(-40 {x:.2f} {y:.2f})"'
        parts.append(text(x, y, short(name, 12), "label start", turn, full=name) if side > 9 else "")
    for i, (name, row) in enumerate(zip(rows, values, strict=True)):
        y = top + side * i
        parts.append(text(left - 8, y + side / 2 + 4, short(name, 13), "label end", full=name) if side > 9 else "")
        for j, value in enumerate(row):
            parts.append(_cell(left + side * j, y, side, value, largest, f"{name}, {columns[j]}"))
    return image(top + side * len(rows) + 12, f"Matrix of {len(rows)} rows and {len(columns)} columns", parts)


def scatter(data: dict[str, Any]) -> str:
    """A map: points coloured by group, eight groups at most told apart.

    The last point is drawn above all others and never thinned out: it may be what the map is about.
    """
    points = [p for p in zip(data["x"], data["y"], data["group"], strict=True) if real(p[0]) and real(p[1])]
    stride = max(1, math.ceil(len(points) / MOST_POINTS))
    across = fit([p[0] for p in points], 12, WIDTH - 12)
    up = fit([p[1] for p in points], 300, 12)
    kept = points[(len(points) - 1) % stride :: stride]
    names = sorted({str(p[2]) for p in points})
    drawn = {name: _MEANT.get(name, (f"g{i % 8}", 3.5)) for i, name in enumerate(names)}
    parts = [f'<rect class="plot" x="1" y="1" width="{WIDTH - 2:.0f}" height="310"/>']
    parts += [
        f'<circle class="group {drawn[str(g)][0]}" cx="{across.at(x):.2f}" cy="{up.at(y):.2f}" r="{drawn[str(g)][1]}">'
        f"{tooltip(str(g))}</circle>"
        for x, y, g in kept
    ]
    for i, name in enumerate(names[:8]):
        x, y = 16 + 116 * (i % 4), 334 + 18 * (i // 4)
        parts.append(f'<circle class="group {drawn[name][0]}" cx="{x}" cy="{y - 4}" r="5"/>')
        parts.append(text(x + 10, y, short(name, 15), "label start", full=name))
    shown = f"{len(kept)} of {len(points)} points in {len(names)} groups"
    return image(362, f"Map of {shown}", parts)


def dots(wrong: float) -> str:
    """1,000 predictions as dots, the wrong ones first."""
    bad = min(max(round(wrong), 0), 1000)
    parts = []
    for name, first, last in (("wrong", 0, bad), ("right", bad, 1000)):
        path = "".join(f"M{4.8 + 9.6 * (i // 20):.1f} {5 + 9.6 * (i % 20):.1f}h0" for i in range(first, last))
        parts.append(f'<path class="dots {name}" d="{path}">{tooltip(f"{last - first} {name}")}</path>')
    return image(194, f"Of 1,000 predictions {bad} wrong, {1000 - bad} right", parts)


def _cell(x: float, y: float, side: float, value: Any, largest: float, name: str) -> str:
    if not real(value):
        return ""
    # At most 60 % opaque, so that the number on it is readable in light and in dark.
    paint = f'class="cell {"less" if value < 0 else "more"}" fill-opacity="{0.6 * abs(value) / largest:.3f}"'
    box = f'x="{x:.2f}" y="{y:.2f}" width="{side - 1:.2f}" height="{side - 1:.2f}"'
    figure = text(x + side / 2, y + side / 2 + 4, number(value), "label") if side >= 26 else ""
    return f"<g>{tooltip(f'{name}: {number(value)}')}<rect {paint} {box}/>{figure}</g>"
