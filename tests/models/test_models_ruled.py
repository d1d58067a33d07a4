"""Ruled: what a rule says is done, on tables of every kind, and what is none is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.ruled import Rule, Ruled
from uncork.schema.errors import BadInput

FRAME = pd.DataFrame(
    {
        "age": [20.0, 35.0, np.nan, 50.0],
        "number of rooms": [1, 2, 3, 4],
        "job": ["admin", "boss and clerk", None, "admin"],
        "black and white": [True, False, True, True],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("if age > 30", [1, 3]),
        ("if age != 35", [0, 3]),  # a missing value fulfils nothing
        ("if job != admin", [1]),
        ("if job == 'boss and clerk'", [1]),
        ('if job == "admin" and age >= 50', [3]),
        ("if number of rooms <= 2 and number of rooms > 1", [1]),
        ("if black and white == 1 and age<1e3", [0, 3]),
        ("if   age   ==   20  ", [0]),
    ],
)
def test_it_holds_where_it_says(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(Rule.read(text).holds(FRAME)).tolist() == rows


def test_columns_of_a_matrix() -> None:
    x = np.array([[0.1, 5], [0.2, 5], [0.1, 6]], np.float32)
    assert Rule.read("if x[0] == 0.1 and x[1] < 6").holds(x).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        *("if ", "if age", "if age = 3", "if age => 3", "if age > 3 or age < 1", "if age > 3;", "if 1 < age < 3"),
        *("if age > 3 and", "if and age > 3 and and", "if age > three men", "if job == 'a", "if (age > 3)and"),
        "if f('a') > 3",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"is no rule: write comparisons"):
        Rule.read(text)


@pytest.mark.parametrize(
    ("text", "x", "message"),
    [
        ("if wage > 3", FRAME, "'wage', which is no column: there are age, number of rooms"),
        ("if age > old", FRAME, "compares a column of numbers with old"),
        ("if job > admin", FRAME, "holds no numbers"),
        ("if age > 3", np.zeros((2, 3)), r"columns of a matrix are called x\[0\] to x\[2\]"),
        ("if x[3] > 3", np.zeros((2, 3)), r"x\[0\] to x\[2\]"),
        ("if x[0] > 3", ["a text"], "rules are for tables"),
        ("if x[0] > 3", np.zeros((2, 3, 3)), "rules are for tables"),
    ],
)
def test_what_can_not_be_compared_is_refused(text: str, x: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Rule.read(text).holds(x)


def linear() -> tuple[Model, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(300, 3))
    y = (x[:, 0] > 0) + (x[:, 1] > 0).astype(int)
    return as_model(LogisticRegression().fit(x, y), "classification"), x


def test_other_rows_stay_bit_for_bit() -> None:
    inner, x = linear()
    model = Ruled(inner, [(Rule.read("if x[0] > 1"), 0), (Rule.read("if x[1] > 1"), 1)])
    before, after = inner.outputs(x).logits, model.outputs(x).logits
    first = x[:, 0] > 1
    second = (x[:, 1] > 1) & ~first  # where both hold the first decides
    assert first.any()
    assert second.any()
    assert (after[first].argmax(axis=1) == 0).all()
    assert (after[second].argmax(axis=1) == 1).all()
    assert after[~first & ~second].tobytes() == before[~first & ~second].tobytes()
    np.testing.assert_array_equal(np.sort(after, axis=1), np.sort(before, axis=1))
    assert model.outputs(x[~first & ~second]).logits.tobytes() == before[~first & ~second].tobytes()
    assert model.fingerprint() != inner.fingerprint()
    with pytest.raises(BadInput, match="says class 3: the model has 3 outputs"):
        Ruled(inner, [(Rule.read("if x[0] > 1"), 3)])
