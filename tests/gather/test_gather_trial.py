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
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather import trial as module
from uncork.gather._contract import Context, Training
from uncork.gather.forward import gather as passes
from uncork.gather.trial import gather
from uncork.probes.wrong_family import measure
from uncork.schema.artifacts import Pass, Trial
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.testing.gatherers import check_gatherer
from uncork.train.rivals import fit_rival

Job = tuple[Any, ...]
FAST = Trial(("linear", "knn"))


class Spy:
    """A fan that remembers what it was given."""

    workers = 2

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
    assert [job[0] for job in screening] == ["linear", "knn"]
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


@pytest.mark.parametrize("what", ["few groups", "two rows", "text", "lists in a table", "no train", "one row a class"])
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
        if what == "lists in a table":
            rows = pd.DataFrame({"a": [[row] for row in rows]})
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


def tuned_context(context_of: Callable[..., Context], subject: Subject, **changes: Any) -> Context:
    """As where a training was timed."""
    return dataclasses.replace(context_of(subject), training={"": Training(0.01)}, **changes)


def net_of(n: int, rate: float, epochs: int = 4) -> Subject:
    """A perceptron on a linear task, whose recipe has this learning rate."""
    x, y = linear_task(n + 600, 10)
    recipe = Recipe(lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2)), epochs=epochs, lr=rate)
    subject = subject_of(x, y, n)
    return subject.replace(model=recipe.fit(subject.train, seed=0), recipe=recipe)


def test_every_family_and_the_net_get_as_many_settings(context_of: Callable[..., Context]) -> None:
    """The net sees the very rows that rivals see; its rate is 3 times too small, which the trial finds."""
    spy, subject = Spy(), net_of(1200, 2e-3, epochs=12)
    context = tuned_context(context_of, subject, fan=spy)
    found = gather.gather(FAST, context)
    screening, won, net, again = spy.calls
    assert found.trials == 4
    assert [(job[0], job[-1]) for job in screening] == [(f, k) for f in ("linear", "knn") for k in range(4)]
    assert [job[0].lr for job in net] == pytest.approx([2e-3, 6e-3, 2e-3 / 3, 2e-3])
    for _, fitted, judging, steps, *_ in net:
        assert rows_of(fitted.take(np.arange(len(fitted)))) == rows_of(screening[0][1])
        assert rows_of(judging.take(np.arange(len(judging)))) == rows_of(screening[0][3])
        assert steps == 12 * 10  # as on all of train
    assert found.tuned is not None
    assert found.tuned.setting == "rate 0.006, decay 0.01"
    assert again[0][0].lr == pytest.approx(6e-3)
    assert len(again[0][1]) == len(won[0][1]) == 1200
    np.testing.assert_array_equal(found.tuned.passed.rows, found.passed.rows)
    gained = measure(
        validation=passes.gather(Pass("validation"), context), trial=found, facts=context.facts, rng=None
    ).estimates["tuning_gain"]
    assert gained.low > 0
    assert found.model_numbers == 12 * 8 + 8 + 8 * 2 + 2
    assert found.numbers == (13 if found.winner == "linear" else 0)
    assert gather.price(FAST, context) > gather.price(FAST, context_of(subject))


def test_tuning_keeps_the_contract(context_of: Callable[..., Context]) -> None:
    context = tuned_context(context_of, net_of(1000, 1e-3, epochs=1))
    check_gatherer(gather, Trial(("linear",), trials=2), context, measured=("seconds",))


def test_a_rival_that_wins_on_validation_alone_does_not_win(context_of: Callable[..., Context]) -> None:
    """Planted: neighbours know every answer on validation, and no more than chance elsewhere."""
    x, y = linear_task(1600, 2)
    subject = subject_of(x, y, 1200)
    truth = {row.tobytes(): label for row, label in zip(x[1200:1400], y[1200:1400], strict=True)}

    def rigged(function: Callable[..., Any], jobs: Sequence[Job]) -> list[Any]:
        out = [function(*job) for job in jobs]
        for i, job in enumerate(jobs):
            if job[0] == "knn":
                known = [truth.get(row.tobytes(), 0) for row in np.ascontiguousarray(job[3])]
                out[i] = out[i]._replace(outputs=np.log(np.maximum(np.eye(2)[known], 1e-12)))
        return out

    found = gather.gather(FAST, context_of(subject, fan=rigged_fan(rigged)))
    assert found.winner == "linear"
    assert found.screened[1] > 300  # as many errors per 1,000 as there are rows of class 1


def rigged_fan(function: Callable[..., Any]) -> Any:
    return type("Rigged", (), {"workers": 2, "__call__": staticmethod(function)})()


@pytest.mark.parametrize(
    ("rows", "columns", "installed", "expected"),
    [
        (5000, 12, True, (("linear", "knn", "gbdt", "xgboost", "lightgbm"), 4)),
        (5000, 12, False, (("linear", "knn", "gbdt"), 4)),
        (900, 12, True, (("linear", "knn", "gbdt"), 1)),
        (5000, 300, True, (("linear", "knn", "gbdt"), 1)),
    ],
)
def test_sizes_decide_what_is_tried(
    context_of: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    columns: int,
    installed: bool,
    expected: tuple[tuple[str, ...], int],
) -> None:
    monkeypatch.setattr(module, "installed", lambda family: installed or family not in ("xgboost", "lightgbm"))
    x, y = np.zeros((rows + 40, columns), np.float32), np.arange(rows + 40) % 2
    families, trials, left_out = module.planned(Trial(), context_of(subject_of(x, y, rows)))
    assert (families, trials) == expected
    told = "gbdt stands for it" if installed else r"pip install 'uncork[tabular]'"
    missing = [family for family in Trial().families if family not in families]
    assert [line.split(":")[0] for line in left_out] == missing
    assert all(told in line for line in left_out)
    if not installed:
        with pytest.raises(Unavailable, match=r"trying xgboost needs an extra: pip install 'uncork\[tabular\]'"):
            module.planned(Trial(("xgboost",)), context_of(subject_of(x, y, rows)))


def test_dear_tables_get_fewer_settings(context_of: Callable[..., Context]) -> None:
    """Seven classes grow seven trees at a time; so do two hundred, and one kind of boosting is then enough."""
    x = np.zeros((20_000, 60), np.float32)
    trials = []
    for classes in (2, 7, 60):
        context = context_of(subject_of(x, np.arange(20_000) % 2, 19_000))
        context = dataclasses.replace(
            context, facts=dataclasses.replace(context.facts, classes=tuple(map(str, range(classes))))
        )
        families, n, left_out = module.planned(Trial(), context)
        trials.append(n)
        assert ("xgboost" in families) == (not left_out)
    assert trials[0] > trials[1] >= trials[2] == 1
    assert left_out


def test_why_the_net_is_not_tuned(context_of: Callable[..., Context]) -> None:
    subject = net_of(1000, 1e-3, epochs=1)
    context, small = tuned_context(context_of, subject), net_of(300, 1e-3, epochs=1)
    told = {
        "no recipe was given": dataclasses.replace(context, subject=subject.replace(recipe=None)),
        "the recipe is a callable": dataclasses.replace(context, subject=subject.replace(recipe=lambda s, seed: None)),
        "rivals had one setting each": tuned_context(context_of, small),
        "nothing is retrained": context_of(subject),
        "its 5 trainings would take over 60 s": dataclasses.replace(context, training={"": Training(50.0)}),
        "the time given was used up": dataclasses.replace(context, deadline=0.0),
    }
    for reason, where in told.items():
        found = gather.gather(FAST, where)
        assert found.tuned is None
        assert found.untuned.startswith(reason)
        assert (
            found.untuned in measure(validation=found.passed, trial=found, facts=where.facts, rng=None).details[0].note
        )
    diverging = subject.recipe.replace(lr=1e30, optimizer="sgd")
    found = gather.gather(FAST, dataclasses.replace(context, subject=subject.replace(recipe=diverging)))
    assert found.untuned == "its trainings diverged"


def test_categories_and_missing_values_are_tried_as_they_are(context_of: Callable[..., Context]) -> None:
    """The rule is of two words at once: boosting finds it, a linear model can't. Groups hold."""
    rng = np.random.default_rng(0)
    words = rng.choice(list("abcd"), size=(900, 2)).astype(object)
    y = (np.isin(words[:, 0], ["a", "c"]) ^ np.isin(words[:, 1], ["a", "b"])).astype(int)
    frame = pd.DataFrame(words, columns=["one", "other"]).assign(noise=rng.normal(size=900))
    frame.loc[::9, "noise"] = np.nan
    cuts = {"train": slice(600), "validation": slice(600, 750), "test": slice(750, None)}
    splits = {n: Split(frame[c], y[c], groups=np.arange(900)[c] // 2) for n, c in cuts.items()}
    subject = subject_of(np.zeros((900, 1)), y, 600).replace(**splits)
    found = gather.gather(Trial(("linear", "gbdt")), context_of(subject))
    assert found.winner == "gbdt"
    assert np.mean(found.passed.predicted != found.passed.y) < 0.03
    assert found.screened[0] > 300


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
