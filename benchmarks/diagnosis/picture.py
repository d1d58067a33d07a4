"""The benchmark's figure: two panels of intervals, an SVG that stands alone, on a white or a dark page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.diagnosis.scores import Score
from uncork.report.numbers import number
from uncork.report.svg import Axis, line, text, tooltip
from uncork.schema.finding import Estimate

WIDTH, LABELS, TOP, ROW = 820.0, 170.0, 56.0, 40.0
#: Colours that hold on white and on dark, as an image can't know its page; the halves differ in shape too.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #6a737d; }
.name { text-anchor: end; } .ours { font-weight: 700; fill: #0a7fc4; } .tick, .title { text-anchor: middle; }
.title { font-weight: 600; } .tick { font-size: 11px; }
.grid { stroke: #8b949e; stroke-opacity: .3; } .rule { stroke: #8b949e; stroke-opacity: .6; }
.open { stroke: #0a7fc4; fill: #0a7fc4; } .frozen { stroke: #d5661a; fill: #d5661a; }
line.open, line.frozen { stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #a4adb4; } .ours { fill: #62b5ea; }
.open { stroke: #62b5ea; fill: #62b5ea; } .frozen { stroke: #f0833a; fill: #f0833a; } }
"""


def picture(scores: Sequence[Score]) -> str:
    """Top-1 and false alarms of each auditor with their intervals, open half and frozen half side by side."""
    names = list(dict.fromkeys(s.auditor for s in scores))
    bottom = TOP + ROW * len(names)
    middle = LABELS + (WIDTH - LABELS) / 2
    panels = (
        (Axis(0, 100, LABELS + 20, middle - 22), "top-1, % of faulty cases", [s.top1 for s in scores]),
        (Axis(0, 100, middle + 22, WIDTH - 20), "false alarms, % of healthy cases", [s.false_alarms for s in scores]),
    )
    parts = [f"<style>{STYLE}</style>"]
    for i, name in enumerate(names):
        ours = "name ours" if name == "uncork" else "name"
        parts.append(text(LABELS, TOP + ROW * (i + 0.5) + 4, name, ours))
    for axis, title, estimates in panels:
        parts.append(text((axis.start + axis.end) / 2, 40, title, "title"))
        for tick in (0, 25, 50, 75, 100):
            parts.append(line(axis.at(tick), TOP, axis.at(tick), bottom, "rule" if tick == 0 else "grid"))
            parts.append(text(axis.at(tick), bottom + 17, number(tick), "tick"))
        for s, estimate in zip(scores, estimates, strict=True):
            y = TOP + ROW * (names.index(s.auditor) + (0.35 if s.half == "open" else 0.65))
            parts += _mark(axis, y, estimate, s)
    parts += _legend(bottom + 42)
    height = bottom + 56
    label = "Top-1 and false alarms of each auditor, on the open and on the frozen half of the data sets"
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    size = f'width="{WIDTH:.0f}" height="{height:.0f}"'
    return f'{opening} {size} role="img" aria-label="{label}">{"".join(parts)}</svg>\n'


def _mark(axis: Axis, y: float, estimate: Estimate, score: Score) -> Iterable[str]:
    """A whisker with a disc (open half) or a square (frozen half) on it; nothing where nothing is known."""
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        yield line(axis.at(100 * estimate.low), y, axis.at(100 * estimate.high), y, score.half)
    ends = "" if estimate.low is None or estimate.high is None else f" ({estimate.low:.0%} to {estimate.high:.0%})"
    told = tooltip(f"{score.auditor}, {score.half} half: {estimate.value:.0%}{ends}")
    yield _shape(axis.at(100 * estimate.value), y, score.half, told)


def _shape(x: float, y: float, half: str, told: str = "") -> str:
    if half == "open":
        return f'<circle class="open" cx="{x:.2f}" cy="{y:.2f}" r="4.5">{told}</circle>'
    return f'<rect class="frozen" x="{x - 4:.2f}" y="{y - 4:.2f}" width="8" height="8">{told}</rect>'


def _legend(y: float) -> Iterable[str]:
    for x, half, words in ((LABELS + 20, "open", "open half"), (LABELS + 120, "frozen", "frozen half; lines: 95 %")):
        yield _shape(x, y - 4, half)
        yield text(x + 10, y, words, "key")
