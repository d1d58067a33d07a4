"""Guarded: answers bit for bit as before where it answers, and says who answered, what is left, or nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression

from uncork.models.adapt import as_model
from uncork.models.base import Model, Output
from uncork.models.guarded import Bounded, Decision, Guarded, HandedOver, decide
from uncork.models.predictions import PredictionsModel
from uncork.models.temperature import Tempered
from uncork.schema.certificate import Certificate
from uncork.schema.errors import BadInput

RNG = np.random.default_rng(0)
P = RNG.dirichlet([0.5, 0.5, 0.5], 300)
SAYS = PredictionsModel("classification", 3)


def certified(threshold: float | None = 0.8) -> Certificate:
    return Certificate(threshold, 0.9, 0.95, 120, 4, 300, "2026-01-31")


class Recorded:
    """Its inputs' columns 3 to 5 are its probabilities; it keeps what it was asked."""

    task, has_inputs, accepts_nan, classes, n_outputs = "classification", True, False, None, 3

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def outputs(self, batch: Any, features: bool = False) -> Output:
        rows = np.asarray(batch, dtype=np.float64)
        self.asked.append(rows)
        return Output(np.log(rows[:, 3:]).astype(np.float32))

    def fingerprint(self) -> str:
        return "recorded"

    def describe(self) -> dict[str, Any]:
        return {}


class FirstThree(Recorded):
    def outputs(self, batch: Any, features: bool = False) -> Output:
        return Output(np.log(np.asarray(batch, dtype=np.float64)[:, :3]).astype(np.float32))


def test_no_logit_is_moved_and_rows_below_are_handed_over() -> None:
    model = Guarded(SAYS, certified())
    out = model.outputs(P)
    assert isinstance(model, Model)
    assert np.array_equal(out.logits, SAYS.outputs(P).logits)
    assert np.array_equal(out.answered, P.max(axis=1) >= 0.8)
    assert 0.2 < out.answered.mean() < 0.8


def test_what_the_model_hands_over_itself_stays_so() -> None:
    inner = HandedOver(SAYS, 0.5, seed=1)
    out = Guarded(inner, certified()).outputs(P)
    assert np.array_equal(out.answered, inner.outputs(P).answered & (P.max(axis=1) >= 0.8))
    assert np.array_equal(Tempered(Guarded(inner, certified()), 2.0).outputs(P).answered, out.answered)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_the_fallback_is_asked_about_the_rest_alone(kind: str) -> None:
    second = np.random.default_rng(1).dirichlet([0.2, 0.2, 0.2], 300)
    x = np.concatenate([P, second], axis=1)
    fallback = Recorded()
    model = Guarded(FirstThree(), certified(), fallback=fallback)
    out = model.outputs(x if kind == "array" else pd.DataFrame(x))
    mine, theirs = P.max(axis=1) >= 0.8, second.max(axis=1) >= 0.8
    np.testing.assert_array_equal(fallback.asked[0], x[~mine])
    np.testing.assert_array_equal(out.answered, mine | theirs)
    expected = np.where((~mine & theirs)[:, None], second, P)
    np.testing.assert_allclose(softmax(out.logits, axis=1), expected, rtol=1e-4, atol=1e-6)
    decisions = model.decide(x)
    assert [d.by_fallback for d in decisions] == (~mine & theirs).tolist()
    assert [d.answer for d in decisions if d.by_fallback] == second[~mine & theirs].argmax(axis=1).tolist()


def test_a_sure_batch_asks_no_fallback() -> None:
    fallback = Recorded()
    sure = np.concatenate([np.full((4, 3), [0.9, 0.05, 0.05]), np.full((4, 3), 1 / 3)], axis=1)
    assert Guarded(FirstThree(), certified(), fallback=fallback).outputs(sure).answered.all()
    assert fallback.asked == []


def test_decisions_are_classes_sets_or_nothing() -> None:
    model = Guarded(SAYS, certified(), left=0.75, coverage=0.9)
    rows = np.array([[0.9, 0.05, 0.05], [0.5, 0.4, 0.1], [0.34, 0.33, 0.33], [0.7, 0.2, 0.1]])
    decided = decide(model, rows, ("ant", "bee", "cat"))
    assert decided == [
        Decision("ant"),
        Decision(None, ("ant", "bee")),
        Decision(None),  # all three are at .25 or more: nothing is ruled out
        Decision(None, ("ant",)),
    ]
    assert [d.kind for d in decided] == ["answer", "set", "handed over", "set"]
    assert [d.answer for d in model.decide(rows)] == [0, None, None, None]
    assert all(d.among == () for d in Guarded(SAYS, certified()).decide(rows))


def test_any_model_can_be_asked_to_decide() -> None:
    assert [d.answer for d in decide(SAYS, P)] == P.argmax(axis=1).tolist()
    part = HandedOver(SAYS, 0.3, seed=0)
    assert [d.kind == "answer" for d in decide(part, P[:100])] == part.outputs(P[:100]).answered.tolist()
    line = as_model(LinearRegression().fit(P, P[:, 0]), "regression")
    assert decide(line, P)[0] == Decision(pytest.approx(P[0, 0]))


def test_rows_at_random_are_handed_over_in_their_share_whatever_they_are() -> None:
    """10,000 rows, all alike: 3,000 ± 46; 5 s.d. off with chance 6e-7. Not by how sure the model is."""
    model = HandedOver(SAYS, 0.3, seed=0)
    alike = np.tile([[0.6, 0.3, 0.1]], (10_000, 1))
    assert abs((~model.outputs(alike).answered).sum() - 3000) < 230
    assert np.array_equal(model.outputs(P).answered, model.outputs(P).answered)
    assert not np.array_equal(model.outputs(P).answered, HandedOver(SAYS, 0.3, seed=1).outputs(P).answered)
    many = np.random.default_rng(2).dirichlet([1, 1, 1], 5000)
    out = model.outputs(many)
    assert abs(np.corrcoef(out.answered, many.max(axis=1))[0, 1]) < 5 / math.sqrt(5000)
    assert np.array_equal(out.logits, SAYS.outputs(many).logits)


def test_it_is_told_apart_but_not_by_its_day() -> None:
    given = [
        Guarded(SAYS, certified()),
        Guarded(SAYS, certified(0.7)),
        Guarded(SAYS, certified(), left=0.5),
        Guarded(SAYS, certified(), fallback=Recorded()),
        HandedOver(SAYS, 0.3, 0),
        HandedOver(SAYS, 0.3, 1),
    ]
    assert len({model.fingerprint() for model in [SAYS, *given]}) == 7
    another_day = Certificate(0.8, 0.9, 0.95, 120, 4, 300, "2026-02-01")
    assert Guarded(SAYS, another_day).fingerprint() == given[0].fingerprint()
    assert given[0].describe()["guard"]["errors"] == 4


def test_what_guards_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="no threshold"):
        Guarded(SAYS, certified(None))
    two = as_model(LogisticRegression().fit(P, P[:, 0] > 0.5), "classification")
    with pytest.raises(BadInput, match="the fallback has 2 outputs"):
        Guarded(SAYS, certified(), fallback=two)
    line = as_model(LinearRegression().fit(P, P[:, 0]), "regression")
    with pytest.raises(BadInput, match="regression"):
        Guarded(line, certified())
    with pytest.raises(BadInput, match="Guarded is for"):
        Bounded(SAYS, [], [1.0], coverage=0.9, n=10)
    for edges, widths in (([1.0], [1.0]), ([1.0, 1.0], [1, 1, 1]), ([], [-1.0]), ([], [math.nan])):
        with pytest.raises(BadInput, match="rising edges"):
            Bounded(line, edges, widths, coverage=0.9, n=10)


def test_intervals_are_as_wide_as_their_part_says() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    line = as_model(LinearRegression().fit(x, x[:, 0]), "regression")
    model = Bounded(line, [1.5, 2.5], [1.0, math.inf, 0.5], coverage=0.9, n=40)
    assert isinstance(model, Model)
    assert np.array_equal(model.outputs(x).logits, line.outputs(x).logits)
    found = [d.interval for d in model.decide(x)]
    expected = [(-1, 1), (0, 2), (-math.inf, math.inf), (2.5, 3.5)]
    np.testing.assert_allclose(np.array(found), np.array(expected, float), atol=1e-9)
    other = Bounded(line, [1.5, 2.5], [1.0, math.inf, 0.6], coverage=0.9, n=40)
    assert len({line.fingerprint(), model.fingerprint(), other.fingerprint()}) == 3
    assert model.describe()["intervals"]["widths"] == [1.0, None, 0.5]
