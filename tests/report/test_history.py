from __future__ import annotations

import dataclasses
import io

from rich.cells import cell_len
from rich.console import Console

from uncork.report.history import render, render_change
from uncork.schema.comparison import Compared, Comparison, Difference
from uncork.schema.history import Change, History, Run

from .handmade import ERRORS, NASTY, errors, gates_report, nasty_report, quality_report, regression_report

FIRST = Run("monday", "2026-11-16 09:00", "rows", quality_report())
LATER = Run("tuesday", "2026-11-17 09:00", "rows", gates_report())


def shown(history: History | Change) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80)
    (render if isinstance(history, History) else render_change)(history, console)  # type: ignore[operator]
    text = file.getvalue()
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    return text


def test_runs_of_the_same_rows_stand_together() -> None:
    other = dataclasses.replace(LATER, name="elsewhere", rows="other")
    houses = Run("houses", "2026-11-18 09:00", "rows", regression_report())
    broken = Run("broken", "", reason="broken/report.json is not JSON")
    text = shown(History("runs", (broken, FIRST, LATER, other, houses)))
    assert "error, errors per 1,000, on the same 1,250 test rows" in text
    assert "error, errors per 1,000, on 1,250 test rows" in text
    assert "rmse, RMSE, on 300 test rows" in text
    assert [text.index(name) for name in ("monday", "tuesday", "elsewhere", "houses")] == sorted(
        text.index(name) for name in ("monday", "tuesday", "elsewhere", "houses")
    )
    row = next(line for line in text.splitlines() if line.startswith("2026-11-16"))
    assert [part.strip() for part in row.split("  ") if part.strip()] == [
        "2026-11-16 09:00",
        "monday",
        "83 (70 to 97)",
        "wrong-labels",
    ]
    assert "leaked-examples open;" in " ".join(text.split())
    assert "broken can't be read: broken/report.json is not JSON" in text


def test_rows_of_predictions_are_not_known() -> None:
    runs = tuple(dataclasses.replace(run, rows="") for run in (FIRST, LATER))
    assert "on 1,250 test rows, if these predictions are of the same rows" in " ".join(
        shown(History("r", runs)).split()
    )
    assert "if these" not in shown(History("r", runs[:1]))


def test_what_changed() -> None:
    gone = tuple((f, None) for f in quality_report().findings[:1])
    gain = errors(9, 4, 14)
    sides = Compared("monday", (errors(80, 70, 90),)), Compared("tuesday", (errors(71, 61, 81),))
    difference = Difference("models", gain, "better", negligible=False)
    compared = Comparison(*sides, "error", ERRORS, 5.0, "validation", 600, (difference,))
    text = shown(Change(FIRST, LATER, gone, compared))
    assert "wrong-labels: bottleneck, 21 (9 to 33) errors per 1,000 → not looked at" in text
    assert "These very models: B is better" in text
    assert "other test rows" not in text


def test_what_can_not_be_compared() -> None:
    other = dataclasses.replace(LATER, rows="other")
    text = shown(Change(FIRST, other, (), reason="they have other rows"))
    assert "No verdict changed." in text
    assert "These are other test rows, so the two figures can't be compared." in text
    assert "Whether the model is better can't be said: they have other rows" in text


def test_user_text_is_neither_markup_nor_escape_sequence() -> None:
    run = Run(NASTY, "2026-11-16 09:00", NASTY, nasty_report())
    text = shown(History(NASTY, (run, Run(NASTY, reason=NASTY)))) + shown(Change(run, run, reason=NASTY))
    assert "[red]" in text
    assert "\x1b" not in text
