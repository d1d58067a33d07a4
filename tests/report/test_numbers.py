from __future__ import annotations

import math

import pytest

from uncork.report.numbers import clean, interval, number, quantity
from uncork.schema.finding import Estimate


def estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, "nats", 10, "t")


@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (None, "undetermined"),
        (math.nan, "undetermined"),
        (math.inf, "undetermined"),
        (0.0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (15.26, "15.3"),
        (83.0, "83"),
        (1250, "1,250"),
        (1_234_567.8, "1,234,568"),
        (0.01234, "0.0123"),
        (-0.5, "−0.5"),
        (999.6, "1,000"),
        (3e-9, "3e−09"),
        (2e15, "2e+15"),
    ],
)
def test_number(x: float | None, shown: str) -> None:
    assert number(x) == shown


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((21, 9, 33), "21 (9 to 33)"),
        ((21.4, 8.6, 33.2), "21 (9 to 33)"),
        ((0.081, 0.06, 0.104), "0.081 (0.060 to 0.104)"),
        ((-0.3, -20.2, 19.6), "0 (−20 to 20)"),
        ((None, 0, 41), "between 0 and 41"),
        ((None, 3, None), "at least 3"),
        ((5, None, 9), "5 (at most 9)"),
        ((5, None, None), "5 (interval undetermined)"),
        ((None, None, None), "undetermined"),
        ((0, 0, 0), "0 (0 to 0)"),
        ((1234.5, 1100.2, 1400.9), "1,234 (1,100 to 1,401)"),
    ],
)
def test_interval(ends: tuple[float | None, float | None, float | None], shown: str) -> None:
    assert interval(estimate(*ends)) == shown


def test_quantity_has_the_unit_unless_there_is_nothing_to_count() -> None:
    assert quantity(estimate(0.2, 0.1, 0.3)) == "0.20 (0.10 to 0.30) nats"
    assert quantity(estimate(None, None, None)) == "undetermined"
    assert quantity(None) == "undetermined"


def test_shown_ends_are_the_numbers_to_within_a_twentieth_of_the_width() -> None:
    for k in range(-5, 9):
        low, high = 1.2345 * 10.0**k, 3.9876 * 10.0**k
        shown = interval(estimate(None, low, high)).removeprefix("between ").split(" and ")
        for text, truth in zip(shown, (low, high), strict=True):
            assert abs(float(text.replace(",", "")) - truth) <= (high - low) / 20 + 1e-12


def test_clean_removes_what_steers_a_terminal_and_keeps_the_rest() -> None:
    assert clean("a\x1b[31m\x00b\ud800") == "a�[31m�b�"
    assert clean("né 🍾 日本 <b> [red]\n") == "né 🍾 日本 <b> [red]\n"
