"""Bars: their positions are their numbers, on one axis that holds 0 and δ."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from uncork.report.bars import Drawn, Ladder, Mark, Row, ladder
from uncork.schema.finding import Estimate

from .handmade import ERRORS, NASTY, errors


def drawn(*estimates: Estimate, delta: float | None = 5.0) -> tuple[Ladder, list[Drawn]]:
    rows = [Row(NASTY, "a", "clear", "clear", (Mark(NASTY, "predicted", e),)) for e in estimates]
    found = ladder(rows, ERRORS, delta)
    assert found is not None
    return found, [mark for _, marks in found.rows for mark in marks]


def lines(mark: Drawn, kind: str) -> list[Any]:
    return [e for e in ElementTree.fromstring(mark.picture) if e.get("class") == kind]


def end(words: str) -> float:
    return float(words.replace("−", "-"))


def test_positions_are_the_numbers() -> None:
    estimates = [errors(21, 9, 33), errors(-9, -22, 4), errors(None, 0, 41)]
    axis, marks = drawn(*estimates)
    low, high = end(axis.low), end(axis.high)
    assert low <= -22 < 41 <= high

    def value(position: str) -> float:
        return low + float(position) / 1000 * (high - low)

    for e, mark in zip(estimates, marks, strict=True):
        (span,) = lines(mark, "span")
        assert (value(span.get("x1")), value(span.get("x2"))) == (
            pytest.approx(e.low, abs=0.01),
            pytest.approx(e.high, abs=0.01),
        )
        assert [value(dot.get("x1")) for dot in lines(mark, "dot")] == pytest.approx(
            [e.value] if e.value else [], abs=0.01
        )
        assert len(lines(mark, "cap")) == 2
        assert value(lines(mark, "zero")[0].get("x1")) == pytest.approx(0, abs=0.01)
        assert value(lines(mark, "delta")[0].get("x1")) == pytest.approx(5, abs=0.01)
    assert axis.delta == "5"


def test_an_open_end_runs_to_the_edge_without_a_cap() -> None:
    _, (open_, unknown) = drawn(errors(5, 1, None), errors(None, None, None), delta=None)
    (span,) = lines(open_, "span")
    assert (span.get("x2"), len(lines(open_, "cap"))) == ("1000.00", 1)
    assert lines(unknown, "span") == lines(unknown, "dot") == lines(unknown, "delta") == []
    assert (open_.figures, unknown.figures) == ("5 (at least 1)", "undetermined")


def test_nothing_known_is_no_axis() -> None:
    assert ladder([], ERRORS) is None
    assert (
        ladder([Row("a", "a", "clear", "", (Mark("m", "predicted", errors(None, None, None)),))], ERRORS, 5.0) is None
    )
