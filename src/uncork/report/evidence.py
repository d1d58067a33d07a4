"""Evidence as a page shows it: pictures of charts, tables and their CSV, rows as they look."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from uncork.report import charts, numbers
from uncork.report.numbers import quantity
from uncork.schema.beside import Cases, Mistake
from uncork.schema.case import Shown
from uncork.schema.finding import Detail, Estimate

_DRAW = {
    "curve": charts.curve,
    "histogram": charts.histogram,
    "matrix": charts.matrix,
    "map": charts.scatter,
}
_PAIRED = ["split", "row", "row of train"]
_VALUES = 8


@dataclass(frozen=True)
class Look:
    """A row to look at: its split and id, how it looks, and what is said of it, by name."""

    split: str
    id: str
    shown: Shown
    said: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        return f"{self.split} {self.id}"


def draw(detail: Detail) -> Markup | None:
    """The picture of one piece of evidence; None where it can't be drawn as its kind says, and the page says so."""
    try:
        return Markup(_DRAW[detail.kind](detail.data))
    except (KeyError, IndexError, TypeError, ValueError):  # data of a third party's probe
        return None


def table(detail: Detail) -> tuple[list[Any], list[list[Any]]] | None:
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


def looks(detail: Detail, cases: Cases) -> list[Look]:
    """The rows of examples, as far as they are known and can be looked at."""
    cells = table(detail)
    if detail.kind != "examples" or cells is None:
        return []
    columns, split = [str(c) for c in cells[0][1:]], str(detail.data["split"])
    found = []
    for row, *values in cells[1]:
        at = _row(cases, split, row)
        if at is not None:
            found.append(Look(split, at[0], at[1], tuple(zip(columns, map(cell, values), strict=False))))
    return found


def pairs(detail: Detail, cases: Cases) -> list[tuple[Look, Look, str]]:
    """Rows that stand in two splits, side by side, and what is said of the pair."""
    cells = table(detail)
    if detail.kind != "table" or cells is None or cells[0][:3] != _PAIRED:
        return []
    found = []
    for split, row, of_train, *rest in cells[1]:
        one, other = _row(cases, str(split), row), _row(cases, "train", of_train)
        if one and other:
            said = ", ".join(f"{name} {cell(v)}" for name, v in zip(cells[0][3:], rest, strict=False))
            found.append((Look(str(split), *one), Look("train", *other), said))
    return found


def mistake(cases: Cases, wrong: Mistake) -> Look:
    """A mistake as a row to look at; what the row looks like may not be known."""
    id, shown = _row(cases, "validation", wrong.row) or (str(wrong.row), Shown())
    sure = "above 0.999" if wrong.probability > 0.999 else f"{wrong.probability:.3f}"
    said = (("label", wrong.label), ("says", wrong.decided), ("probability", sure))
    return Look("validation", id, shown, said)


def values(shown: Shown) -> list[tuple[str, str]]:
    """The first columns of a row that is neither picture nor text."""
    return [(name, cell(value)) for name, value in shown.values[:_VALUES]]


def csv_of(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Data URI of a table as CSV, with the figures as they are, not rounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([numbers.clean(c) for c in columns])
    writer.writerows([[_spelt(v) for v in row] for row in rows])
    return download(text.getvalue())


def _spelt(value: Any) -> str:
    """As CSV has it; a text that a spreadsheet would take for a formula is marked as a text."""
    text = "" if value is None else numbers.clean(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t") else text


def download(text: str) -> str:
    """Data URI of a CSV file."""
    return f"data:text/csv;charset=utf-8,{quote(numbers.clean(text))}"


def numeric(rows: list[list[Any]], column: int) -> bool:
    """Whether a column holds nothing but numbers and gaps, and so is set flush right."""
    return all(isinstance(row[column], int | float | None) for row in rows if column < len(row))


def cell(value: Any) -> str:
    """A table's cell: floats rounded to three digits, whole numbers as they are (they may be row ids)."""
    if value is None:
        return "–"
    return numbers.number(value) if isinstance(value, float) else str(value)


def flat(tree: Any, path: str = "") -> list[tuple[str, str]]:
    """A JSON tree as (dotted path, value) lines; an estimate is one line."""
    if isinstance(tree, dict) and {"value", "low", "high", "unit"} <= tree.keys():
        return [(path, quantity(Estimate(**tree)))]
    if isinstance(tree, dict):
        return [line for key, value in tree.items() for line in flat(value, f"{path}.{key}" if path else str(key))]
    if isinstance(tree, list | tuple) and not any(isinstance(x, dict | list | tuple) for x in tree):
        return [(path, ", ".join(map(cell, tree)) or "none")]
    if isinstance(tree, list | tuple):
        return [(path, json.dumps(tree, ensure_ascii=False, default=str))]
    return [(path, cell(tree))]


def prose(text: str) -> Markup:
    """A manual's text as HTML: escaped, `code` set as code."""
    safe = str(escape(numbers.clean(" ".join(text.split()))))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))


def _row(cases: Cases, split: str, row: Any) -> tuple[str, Shown] | None:
    return cases.rows.get(split, {}).get(row) if isinstance(row, int) else None
