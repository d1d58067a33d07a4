"""The report as a model card of Hugging Face: results as metadata, then the headline, findings and limits."""

from __future__ import annotations

import json
from typing import Any

from uncork.report import brief, words
from uncork.report.checked import plain
from uncork.report.numbers import clean, percent, quantity
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Report


def render(report: Report) -> str:
    """Text of a README.md: YAML metadata, which huggingface_hub.ModelCard reads, and Markdown.

    All text of the user's is plain text wherever it stands. Without a headline the metadata hold no results.
    """
    name = str(report.subject.get("name") or "unnamed subject")
    metrics = _metrics(report)
    metadata = ["tags: [uncork]"]
    if metrics:
        task = str(report.subject.get("task") or "other")
        dataset = {"type": "private", "name": f"test rows of {name}", "split": "test"}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
        metadata.append(f"model-index: {_yaml([{'name': name, 'results': [result]}])}")
    measured = [f for f in report.findings if f.verdict not in words.NOT_MEASURED]
    unmeasured = [f for f in report.findings if f.verdict in words.NOT_MEASURED]
    opening = [f"{plain(line)}\n" for line in words.opening(report)]
    limits = [*brief.sureness(report), *brief.unseen(report), words.MULTIPLICITY]
    return "\n".join(
        [
            *("---", *metadata, "---", f"# {plain(name)}", "", "## Audit by uncork", ""),
            *opening,
            *(_table(measured) if measured else []),
            *("### Limits", "", *(f"* {plain(line)}" for line in limits)),
            *(["", "Not measured:", ""] if unmeasured else []),
            *(f"* {plain(f.id)} ({plain(words.verdict_of(f))}): {plain(f.reason)}" for f in unmeasured),
            "",
        ]
    )


def _metrics(report: Report) -> list[dict[str, Any]]:
    """The headline in its unit with its interval, and as accuracy where it counts wrong predictions."""
    h = report.headline
    if h.value is None:
        return []
    figures = [(h.metric, Estimate(h.value, h.low, h.high, h.unit, h.n, h.method))]
    if h.unit == "errors per 1,000":
        figures.append(("accuracy", figures[0][1].scaled(-0.001, "share right").shifted(1)))
    return [
        {
            "type": kind,
            "name": f"{kind}: {quantity(e)}, {percent(e.level)} interval, {e.n} rows",
            "value": e.value,
            "args": {"unit": e.unit, "low": e.low, "high": e.high, "level": e.level, "n": e.n, "method": e.method},
        }
        for kind, e in figures
    ]


def _table(findings: list[Finding]) -> list[str]:
    rows = ["### Findings", "", "| finding | verdict | figure with interval | what it says |", "|---|---|---|---|"]
    for f in findings:
        figure = words.judged(f) or (quantity(f.headroom) if f.headroom is not None else "–")
        cells = (f.id, words.verdict_of(f), figure, f"{f.title}. {f.summary}" if f.summary else f.title)
        rows.append(f"| {' | '.join(plain(cell) for cell in cells)} |")
    return [*rows, ""]


def _yaml(value: Any) -> str:
    """JSON that every YAML reads alike: on one line, of printable characters, floats with a point."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(part) for part in value) + "]"
    if isinstance(value, str):
        text = " ".join(clean(value).split()).replace("\ufffe", "�").replace("\uffff", "�")
        return json.dumps(text, ensure_ascii=False)
    told = json.dumps(value)
    return told.replace("e", ".0e") if isinstance(value, float) and "e" in told and "." not in told else told
