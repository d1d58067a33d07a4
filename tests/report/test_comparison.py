"""The comparison in a terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from uncork.report import comparison as module
from uncork.schema.comparison import Compared, Comparison, Difference
from uncork.schema.finding import Estimate

UNIT = "errors per 1,000"


def estimate(value: float, low: float, high: float, **beside: object) -> Estimate:
    return Estimate(value, low, high, UNIT, 2000, "t over rows", (high - low) / 4, **beside)


OPEN = Difference("models", estimate(3, -6, 12), "can't tell", False, 13, 40_000, None)
SIDES = Compared("runs/a", (estimate(50, 40, 60),)), Compared("[red]b\x1b[31m", (estimate(47, 38, 56),))
COMPARISON = Comparison(*SIDES, "error", UNIT, 5.0, "validation", 2000, (OPEN,), notes=("A note.",))


def shown(comparison: Comparison, width: int = 80) -> str:
    file = io.StringIO()
    module.render(comparison, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 300])
def test_fits(width: int) -> None:
    assert max(map(cell_len, shown(COMPARISON, width).splitlines())) <= min(width, 100)


def test_user_text_is_neither_markup_nor_escape_sequence() -> None:
    assert "[red]b�[31m" in shown(COMPARISON)


def test_open_question_says_what_would_settle_it() -> None:
    text = " ".join(shown(COMPARISON).split())
    assert "These very models: can't tell" in text
    assert "Gain over A: 3 errors per 1,000 (95 % interval −6 to 12)." in text
    assert "A difference under 13 would likely have gone unproven." in text
    assert "about 40,000 rows would settle it" in text
    both = replace(OPEN, of="recipes", seeds_to_settle=24)
    assert "40,000 rows or 24 training seeds in all" in " ".join(
        shown(replace(COMPARISON, differences=(both,))).split()
    )


@pytest.mark.parametrize(
    ("verdict", "negligible", "said"),
    [
        ("better", False, "B is better"),
        ("better", True, "B is better, but by less than matters"),
        ("worse", False, "B is worse"),
        ("can't tell", True, "no difference that matters"),
        ("can't tell", False, "can't tell"),
    ],
)
def test_verdicts(verdict: str, negligible: bool, said: str) -> None:
    difference = replace(OPEN, verdict=verdict, negligible=negligible)
    assert module.answer(difference) == said
    closed = verdict != "can't tell" or negligible
    assert ("would settle it" in shown(replace(COMPARISON, differences=(difference,)))) is not closed


def test_where_the_rows_come_from() -> None:
    assert "2,000 rows of validation" in module.circumstances(COMPARISON)
    assert "no ledger" in module.circumstances(replace(COMPARISON, on="tables"))
    on_test = module.circumstances(replace(COMPARISON, on="test", opening=2, alpha=0.0076))
    assert "opening 2 of these rows, judged at 0.76 %" in on_test


def test_several_models_and_no_figure() -> None:
    several = Compared("s", (estimate(50, 40, 60), estimate(60, 50, 70)))
    assert module.scored(several) == "s, 2 models, mean 55 (50 to 60 errors per 1,000)"
    nothing = replace(OPEN, gain=Estimate(None, None, None, "F", 0, "bootstrap"))
    assert module.reasons(nothing, COMPARISON) == ["There is no figure: bootstrap."]


def test_json_holds_the_verdict_of_the_recipes_where_there_is_one() -> None:
    recipes = replace(OPEN, of="recipes", verdict="better")
    content = json.loads(replace(COMPARISON, differences=(OPEN, recipes)).to_json())
    assert content["verdict"] == "better"
    assert content["differences"][0]["rows_to_settle"] == 40_000
    assert json.loads(COMPARISON.to_json())["verdict"] == "can't tell"
