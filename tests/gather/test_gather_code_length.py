"""Bits of simpler families: known tasks are won by the family they are made for, by fits on the pool's parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from uncork import Recipe, Split, Subject
from uncork.derived.description_length import BLOCKS, bits, length, lengths, saved, sentence
from uncork.gather import code_length as module
from uncork.gather import pool
from uncork.gather._contract import Context, Training
from uncork.gather._tree import together
from uncork.gather.code_length import gather
from uncork.planted.nets import MLP
from uncork.schema.artifacts import CodeLength, CodeLengthData
from uncork.schema.pool import Pool, PoolData
from uncork.testing.gatherers import check_gatherer

Rows = tuple[Any, np.ndarray]


def linear_task(n: int, seed: int, columns: int = 8) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns)).astype(np.float32)
    return x, (x @ np.linspace(-1, 1, columns) + rng.normal(0, 0.3, n) > 0).astype(int)


def taught(n: int, seed: int) -> Rows:
    """By a random net whose hidden units are even: no linear model knows anything of it."""
    rng = np.random.default_rng((5, seed))
    x, teacher = rng.normal(size=(n, 4)).astype(np.float32), np.random.default_rng(1)
    hidden = np.abs(x @ teacher.normal(size=(4, 12)))
    score = hidden @ teacher.normal(size=12)
    return x, (score > np.median(score)).astype(int)


def subject_of(given: Rows, n: int, **known: Any) -> Subject:
    """The first n rows train, the next fifth validates; a model that says the commonest class."""
    x, y = given
    groups = known.pop("groups", None)
    cuts = {"train": slice(n), "validation": slice(n, n + n // 5), "test": slice(n + n // 5, None)}
    dummy = (DummyRegressor if y.dtype.kind == "f" else DummyClassifier)().fit(np.zeros((len(y), 1)), y)
    made = {k: Split(x[c], y[c], groups=groups[c] if groups is not None else None) for k, c in cuts.items()}
    return Subject(dummy, **made, **known)


def means(data: CodeLengthData, classes: int = 2) -> dict[str, float]:
    return {f: float(length(b, classes).mean()) for f, b in zip(data.families, data.bits, strict=True)}


def test_keeps_the_contract(context_of: Callable[..., Context]) -> None:
    check_gatherer(gather, CodeLength(), context_of(subject_of(linear_task(300, 0), 160)), measured=("seconds",))


def test_a_linear_task_is_written_shortest_by_the_linear_model(context_of: Callable[..., Context]) -> None:
    data = gather.gather(CodeLength(), context_of(subject_of(linear_task(700, 0), 400)))
    assert means(data)["linear"] < means(data)["gbdt"] < 1
    assert data.bits.shape == (2, 3, 400)
    assert (np.diff(data.bits[0].mean(axis=1)) < 0).all()  # more rows to learn from, fewer bits


def test_a_taught_task_is_not(context_of: Callable[..., Context]) -> None:
    data = gather.gather(CodeLength(), context_of(subject_of(taught(1400, 0), 1000)))
    assert means(data)["gbdt"] < means(data)["linear"] < 1.05


def test_labels_by_chance_cost_what_they_do_without_a_model(context_of: Callable[..., Context]) -> None:
    """1 bit of 2 classes, and no less: overfitted families pay for it until the temperature cools them. 600 rows; an
    s.e. below .01 (fixed seed)."""
    x, _ = linear_task(800, 0)
    found = means(
        gather.gather(CodeLength(), context_of(subject_of((x, np.random.default_rng(9).integers(2, size=800)), 600)))
    )
    assert all(0.98 < value < 1.15 for value in found.values())


def test_parts_are_the_pools_and_rows_of_a_group_stay_together(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(300, 1)
    context = context_of(subject_of((x, y), 240, groups=np.arange(300) // 4))
    train, cut = context.split("train"), pool.Cut(context)
    clusters = together(train)
    for (permutation, block, part), rows in module._parts(y[:240], clusters, context.seed).items():
        member = pool.Member(BLOCKS[block][1], permutation, part, "")
        np.testing.assert_array_equal(rows, cut.rows(member))
        assert not set(clusters[rows]) & set(clusters[np.setdiff1d(np.arange(240), rows)])


def test_a_fit_never_sees_what_it_codes(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    given = linear_task(300, 2)
    seen, fit = [], module.fit_rival

    def spy(family: str, x: np.ndarray, y: np.ndarray, fresh: np.ndarray, *rest: Any) -> Any:
        seen.append(({row.tobytes() for row in x}, {row.tobytes() for row in fresh}))
        return fit(family, x, y, fresh, *rest)

    monkeypatch.setattr(module, "fit_rival", spy)
    gather.gather(CodeLength(), context_of(subject_of(given, 240)))
    assert sorted(len(fitted) for fitted, _ in seen) == [30] * 8 + [60] * 8 + [120] * 8
    assert all(not fitted & fresh and len(fitted | fresh) == 240 for fitted, fresh in seen)


def test_wide_rows_and_many_classes(context_of: Callable[..., Context]) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(700) % 22
    x = (rng.normal(size=(22, 300))[y] + rng.normal(size=(700, 300))).astype(np.float32)
    data = gather.gather(CodeLength(), context_of(subject_of((x, y), 500)))
    assert data.families == ("linear",)
    assert "20 classes" in data.reason
    assert means(data, 22)["linear"] < math.log2(22)


@pytest.mark.parametrize("what", ["text", "many rows", "one class", "regression", "no train", "only predictions"])
def test_what_can_not_be_written_has_a_reason(
    context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    x, y = linear_task(300, 6)
    given: Rows = (x, y)
    if what == "text":
        given = pd.DataFrame({"a": [[i] for i in range(300)]}), y
    elif what == "one class":
        given = x, (np.arange(300) % 50 == 0).astype(int)
    elif what == "regression":
        given = x, x[:, 0].astype(float)
    elif what == "many rows":
        monkeypatch.setattr(module, "MOST_ROWS", 100)
    context = context_of(subject_of(given, 200, **({"metric": "rmse"} if what == "regression" else {})))
    if what == "no train":
        context = dataclasses.replace(context, subject=context.subject.replace(train=None))
    elif what == "only predictions":
        context = dataclasses.replace(context, facts=dataclasses.replace(context.facts, has_inputs=False))
    data = gather.gather(CodeLength(), context)
    assert data.reason
    assert data.families == ()
    assert data.bits.shape == (0, 3, 0)


def test_price_grows_with_rows_columns_and_classes(context_of: Callable[..., Context]) -> None:
    few, many = (context_of(subject_of(linear_task(1400, 8, d), n)) for n, d in ((100, 8), (1000, 60)))
    assert 0 < gather.price(CodeLength(), few) < gather.price(CodeLength(), many)
    of_ten = dataclasses.replace(many, facts=dataclasses.replace(many.facts, classes=tuple("abcdefghij")))
    assert gather.price(CodeLength(), of_ten) > gather.price(CodeLength(), many)


def of_both(context: Context) -> tuple[PoolData, dict[str, np.ndarray]]:
    trained = dataclasses.replace(context, training={"": Training(1.0, 1)})
    data = pool.gather.gather(Pool(halves=4, quarters=4, eighths=8), trained)
    return data, lengths(data, gather.gather(CodeLength(), context))[0]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["linear", "taught", "digits"])
def test_the_family_that_fits_the_task_is_the_shortest(
    context_of: Callable[..., Context], digits: Rows, task: str
) -> None:
    """Two hidden layers of 64 units. What is asserted stands 3 s.e. or more from its edge (measured, fixed seeds): bits
    a row of net, linear model and trees .41, .33, .58 (linear); .29, 1.00, .44 (taught); .63, .62, .71 (digits), where
    the net and the linear model are not told apart."""
    given = {"linear": linear_task(900, 0), "taught": taught(1800, 0), "digits": digits}[task]
    columns, classes = given[0].shape[1], int(given[1].max()) + 1
    recipe = Recipe(lambda: MLP(columns, classes), epochs=30, batch_size=50, lr=3e-3)
    n = {"linear": 600, "taught": 1400, "digits": 1000}[task]
    data, found = of_both(context_of(subject_of(given, n, recipe=recipe)))
    less = saved(found, data)
    assert less["gbdt"].high < 0
    if task == "linear":
        assert less["linear"].low > 0
        assert " by a linear model " in sentence(found, data)
    elif task == "taught":
        assert less["linear"].high < -0.5
        assert bits(found, data)["bits_linear"].value == pytest.approx(1.0, abs=0.05)
        assert sentence(found, data) == ""
    else:
        assert abs(less["linear"].value) < 0.1
        assert all(estimate.high < math.log2(10) / 3 for estimate in bits(found, data).values())
