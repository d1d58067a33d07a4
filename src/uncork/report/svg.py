"""The marks that charts are made of: axes, lines, text, all escaped, all well-formed XML."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from uncork.report.numbers import clean, number

WIDTH = 480.0


@dataclass(frozen=True)
class Axis:
    """A linear map from values (low, high) to positions (start, end)."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values (1, 2 or 5 times a power of ten) inside the axis."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def fit(values: Iterable[float], start: float, end: float, margin: float = 0.04) -> Axis:
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    room = (high - low) * margin
    if high == low:
        room = abs(high) / 2 or 1.0
    return Axis(low - room, high + room, start, end)


def x_axis(axis: Axis, y: float, label: str, top: float) -> Iterable[str]:
    for tick in axis.ticks():
        yield line(axis.at(tick), top, axis.at(tick), y, "grid")
        yield text(axis.at(tick), y + 16, number(tick), "tick x")
    yield text((axis.start + axis.end) / 2, y + 34, short(label, 60), "label", full=label)


def frame(across: Axis, up: Axis, x_label: str, y_label: str) -> Iterable[str]:
    yield from x_axis(across, up.start, x_label, up.end)
    for tick in up.ticks():
        yield line(across.start, up.at(tick), across.end, up.at(tick), "grid")
        yield text(across.start - 7, up.at(tick) + 4, number(tick), "tick y end")
    middle = (up.start + up.end) / 2
    yield text(12, middle, short(y_label, 30), "label", f' transform="rotate(-90 12 {middle:.2f})"', full=y_label)


def real(x: Any) -> bool:
    return isinstance(x, int | float) and math.isfinite(x)


def corners(points: Iterable[tuple[float, float]], across: Axis, up: Axis) -> str:
    return " ".join(f"{across.at(x):.2f},{up.at(y):.2f}" for x, y in points)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"/>'


def text(x: float, y: float, words: object, kind: str, extra: str = "", full: object = "") -> str:
    """Text at a place; `full` is its tooltip where the words are a shortening."""
    title = tooltip(str(full)) if full and str(full) != str(words) else ""
    return f'<text class="{kind}" x="{x:.2f}" y="{y:.2f}"{extra}>{title}{escape(clean(words))}</text>'


def tooltip(words: str) -> str:
    return f"<title>{escape(clean(words))}</title>"


def short(words: object, most: int) -> str:
    shown = str(words)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def image(height: float, label: str, parts: Iterable[str]) -> str:
    name = escape(clean(label), {'"': "&quot;"})
    box = f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    return f'<svg {box} role="img" aria-label="{name}">{"".join(parts)}</svg>'
