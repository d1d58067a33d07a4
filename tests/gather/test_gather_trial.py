"""Rivals are chosen inside train, and validation only scores the one that was chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.gather import trial as module
from uncork.gather._contract import Context
from uncork.gather.trial import fit_rival, gather
from uncork.schema.artifacts import Trial
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.testing.gatherers import check_gatherer

Job = tuple[Any, ...]
FAST = Trial(("linear", "knn"))


class Spy:
    """A fan that remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[list[Job]] = []

    def __call__(self, function: Callable[..., Any], jobs: Sequence[Job]) -> list[Any]:
        self.calls.append(list(jobs))
        return [function(*job) for job in jobs]


def linear_task(n: int, seed: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    return x, (x @ np.linspace(-1, 1, 12) + rng.normal(0, noise, n) > 0).astype(int)


def subject_of(x: np.ndarray, y: np.ndarray, n: int, **splits: Any) -> Subject:
    """The first n rows train, the rest is halved; a model that says the commonest class."""
    half = n + (len(x) - n) // 2
    cuts = {"train": slice(n), "validation": slice(n, half), "test": slice(half, None)}
    groups = splits.pop("groups", None)
    made = {k: Split(x[c], y[c], groups=None if groups is None else groups[c]) for k, c in cuts.items()}
    return Subject(DummyClassifier().fit(np.zeros((len(y), 1)), y), **made, **splits)


def rows_of(x: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in np.ascontiguousarray(x)}


def test_a_linear_task_is_won_by_the_linear_model(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(1600, 0)
    found = gather.gather(Trial(), context_of(subject_of(x, y, 600)))
    assert found.winner == "linear"
    assert found.screened[0] == min(found.screened)
    reference = LogisticRegression(max_iter=200).fit(x[:600], y[:600]).predict(x[600:1100])
    assert np.mean(found.passed.predicted == reference) > 0.99
    assert np.array_equal(found.passed.y, y[600:1100])
    assert (found.fitted_rows, found.screen_rows) == (600, 120)


def test_a_task_of_steps_is_won_by_boosting(context_of: Callable[..., Context]) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(1400, 6)).astype(np.float32)
    y = (np.floor(x[:, 0]) + np.floor(x[:, 1])).astype(int) % 2
    assert gather.gather(Trial(), context_of(subject_of(x, y, 700))).winner == "gbdt"


def test_keeps_the_contract(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(400, 1)
    check_gatherer(gather, FAST, context_of(subject_of(x, y, 200)), measured=("seconds",))


def test_screening_rows_are_not_fitted_on_and_validation_chooses_nothing(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(700, 2)
    spy = Spy()
    subject = subject_of(x, y, 500)
    first = gather.gather(FAST, context_of(subject, fan=spy))
    screening, final = spy.calls
    for _, fitted, labels, screened, *_ in screening:
        assert not rows_of(fitted) & rows_of(screened)
        assert rows_of(fitted) | rows_of(screened) == rows_of(x[:500])
        assert len(labels) == len(fitted) == 400
    ((_, fitted, _, fresh, *_),) = final
    assert rows_of(fitted) == rows_of(x[:500])
    assert rows_of(fresh) == rows_of(x[500:600])
    # Labels of validation turned round: the same rival is chosen by the same figures.
    turned = subject.replace(validation=Split(x[500:600], 1 - y[500:600]))
    second = gather.gather(FAST, context_of(turned))
    assert (second.winner, second.screened) == (first.winner, first.screened)


def test_rows_of_one_group_stay_together(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(700, 3)
    groups = np.arange(700) // 10
    spy = Spy()
    found = gather.gather(FAST, context_of(subject_of(x, y, 500, groups=groups), fan=spy))
    position = {row.tobytes(): i for i, row in enumerate(x)}
    for _, fitted, _, screened, *_ in spy.calls[0]:
        fitted_groups, screened_groups = ({groups[position[r]] for r in rows_of(part)} for part in (fitted, screened))
        assert not fitted_groups & screened_groups
        assert len(fitted_groups | screened_groups) == 50
    assert len(np.unique(found.passed.clusters)) == 10


def test_a_seeded_sample_stands_for_many_rows(
    context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 150)
    x, y = linear_task(900, 4)
    found = gather.gather(FAST, context_of(subject_of(x, y, 500)))
    assert found.fitted_rows == len(found.passed) == 150
    assert np.array_equal(found.passed.y, y[500:700][found.passed.rows])
    assert len(np.unique(found.passed.rows)) == 150


def test_regression(context_of: Callable[..., Context]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    y = x @ np.arange(5) + rng.normal(size=600)
    subject = subject_of(x, np.zeros(600, int), 300)
    splits = {
        n: getattr(subject, n).with_y(y[c])
        for n, c in {"train": slice(300), "validation": slice(300, 450), "test": slice(450, None)}.items()
    }
    subject = Subject(DummyRegressor().fit(x, y), metric="rmse", **splits)
    found = gather.gather(Trial(), context_of(subject))
    assert found.winner == "linear"
    assert found.screened[0] == pytest.approx(1.0, abs=0.25)  # the noise
    np.testing.assert_allclose(found.passed.predicted, x[300:450] @ np.arange(5), atol=0.6)


def test_auc_picks_the_largest(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(900, 5)
    found = gather.gather(Trial(("knn", "linear")), context_of(subject_of(x, y, 400, metric="auc")))
    assert found.winner == "linear"
    assert found.screened[1] == max(found.screened)


def test_an_unknown_figure_never_wins() -> None:
    from uncork.schema.metric import Metric

    for higher in (True, False):
        metric = Metric(lambda p, y: float("nan"), higher_is_better=higher)
        worst = module._value(metric, np.zeros((9, 2)), np.arange(9) % 2, "classification")
        assert metric.sign * worst == np.inf


def test_few_neighbours_and_absent_classes() -> None:
    x, _ = linear_task(6, 0)
    outputs, _ = fit_rival("knn", x, np.array([0, 2, 0, 2, 0, 2]), x, "classification", 4, 0)
    assert outputs.shape == (6, 4)
    assert (np.exp(outputs[:, [1, 3]]) < 1e-11).all()


def test_wide_rows_become_components() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 400)).astype(np.float32)
    x[:, :200] *= 0
    x[5, 3] = np.nan
    y = (x[:, 200:] @ rng.normal(size=200) > 0).astype(int)
    for family in ("linear", "gbdt"):
        outputs, seconds = fit_rival(family, x, y, x[:20], "classification", 2, 0)
        assert np.isfinite(outputs).all()
        assert seconds > 0


@pytest.mark.parametrize("what", ["few groups", "two rows", "text", "words in a table", "no train", "one row a class"])
def test_what_can_not_be_tried_is_unavailable_and_sinks_nothing(context_of: Callable[..., Context], what: str) -> None:
    x, y = linear_task(300, 6)
    if what == "few groups":
        subject = subject_of(x, y, 200, groups=np.arange(300) // 60)
    elif what == "two rows":
        subject = subject_of(x, y, 200).replace(train=Split(x[:4], np.array([0, 1, 0, 1])))
    elif what == "one row a class":
        subject = subject_of(x, y, 200).replace(train=Split(x[:200], (np.arange(200) == 0).astype(int)))
        # The lone row screens in one seed of five: in none of 60 with a chance of 1 in 600,000.
        alone = [
            s for s in range(60) if module.folds(subject.train, 5, integer_seed(s, "trial"), stratify=True)[0] == 0
        ]
        with pytest.raises(Unavailable, match="one class"):
            gather.gather(FAST, context_of(subject, seed=alone[0]))
        return
    elif what == "no train":
        subject = subject_of(x, y, 200).replace(train=None)
    else:
        rows: Any = [f"row {i}" for i in range(300)]
        if what == "words in a table":
            rows = pd.DataFrame({"a": rows})
        given = {n: Split(rows[a:b], y[a:b]) for n, (a, b) in {"train": (0, 200), "test": (200, 300)}.items()}
        subject = Subject(DummyClassifier().fit(np.zeros((300, 1)), y), **given)
    with pytest.raises(Unavailable):
        gather.gather(FAST, context_of(subject))


def test_tables_of_mixed_numbers_are_numbers(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(600, 7)
    frame = pd.DataFrame(x).rename(columns=str).assign(flag=x[:, 0] > 0, count=np.arange(600))
    subject = subject_of(x, y, 400)
    cuts = {"train": slice(400), "validation": slice(400, 500), "test": slice(500, None)}
    subject = subject.replace(**{n: Split(frame[c], y[c]) for n, c in cuts.items()})
    assert gather.gather(FAST, context_of(subject)).winner == "linear"


def test_price_grows_with_rows_and_classes(context_of: Callable[..., Context]) -> None:
    x, y = linear_task(1000, 8)
    few, many = (gather.price(Trial(), context_of(subject_of(x, y, n))) for n in (100, 900))
    assert 0 < few < many
    context = context_of(subject_of(x, y, 900))
    of_ten = dataclasses.replace(context, facts=dataclasses.replace(context.facts, classes=tuple("abcdefghij")))
    assert gather.price(Trial(), of_ten) > many


@pytest.mark.slow
def test_processes_of_their_own_give_the_same(context_of: Callable[..., Context]) -> None:
    from uncork.run.executor import Executor

    x, y = linear_task(800, 9)
    here, there = (
        gather.gather(Trial(), context_of(subject_of(x, y, 400), **fan)) for fan in ({}, {"fan": Executor()})
    )
    assert here.winner == there.winner
    assert np.array_equal(here.passed.predicted, there.passed.predicted)
