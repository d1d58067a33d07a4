"""Strangers: which rows are read, by which models, and what is drawn as noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context, Training
from uncork.gather._noise import noises
from uncork.gather.store import Store
from uncork.gather.strangers import FEWEST, Without, gather, price
from uncork.models.predictions import Predictions
from uncork.remedies.reject import apply
from uncork.schema.errors import Unavailable
from uncork.schema.strangers import Strangers
from uncork.testing.gatherers import check_gatherer

Rows = tuple[np.ndarray, np.ndarray]
TWO = Strangers(left_out=2)


def build() -> Any:
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


RECIPE = Recipe(build, epochs=4, batch_size=50, lr=5e-2)


@pytest.fixture(scope="module")
def subject(digits: Rows) -> Subject:
    x, y = digits
    cuts = {"train": slice(200, 500), "validation": slice(500, 1100), "test": slice(1100, None)}
    splits = {name: Split(x[rows], y[rows], ids=np.arange(len(x))[rows]) for name, rows in cuts.items()}
    return Subject(RECIPE.fit(splits["train"], seed=0), recipe=RECIPE, **splits)


@pytest.fixture
def trainable(context_of: Callable[..., Context], subject: Subject) -> Context:
    """In which the recipe was timed, and may be trained."""
    return replace(context_of(subject), training={"": Training(3.0)})


def test_keeps_the_contract(trainable: Context) -> None:
    check_gatherer(gather, Strangers(left_out=1), trainable, rtol=1e-4)


def test_rows_of_a_class_left_out_are_strangers_to_a_model_without_it(trainable: Context, digits: Rows) -> None:
    data = gather.gather(TWO, trainable)
    y = digits[1][500:1100]
    assert len(data.left_out) == 2
    assert data.deciding == ("left-out",)
    for model, name in enumerate(data.left_out, 1):
        own = data.model == model
        assert np.array_equal(data.clusters[own & data.of("left-out")], np.flatnonzero(y == int(name)))
        assert np.array_equal(data.clusters[own & data.of("known")], np.flatnonzero(y != int(name)))
    # Trained without it, none of its rows is surely anything: known rows are surer on average.
    sure = np.exp(-data.by("probability"))
    assert sure[data.of("left-out")].mean() < sure[data.of("known") & (data.model > 0)].mean() - 0.1
    assert np.array_equal(np.unique(data.model[data.of("uniform", "shuffled")]), [0])
    assert price(TWO, trainable) - price(Strangers(left_out=0), trainable) == pytest.approx(2 * 3.0 / 2)


def test_what_a_run_has_trained_is_not_trained_again(trainable: Context, tmp_path: Path) -> None:
    trained: list[int] = []

    class Counting:
        workers = 1

        def each(self, function: Any, jobs: Any) -> Any:
            for job in jobs:
                trained.append(job[0])
                yield function(*job)

    store = Store(tmp_path, "a subject")
    context = replace(trainable, store=store, fan=Counting())
    first = gather.gather(Strangers(left_out=1), context)
    second = gather.gather(TWO, context)
    assert len(trained) == len(set(trained)) == 2
    assert second.left_out[:1] == first.left_out
    assert store.get(Without(second.left_out[1])) is not None
    late = gather.gather(Strangers(left_out=3), replace(context, deadline=0.0))
    assert late.left_out == second.left_out


def test_nothing_is_trained_where_the_recipe_was_not_timed(
    context_of: Callable[..., Context], subject: Subject
) -> None:
    context = context_of(subject)
    data = gather.gather(Strangers(), context)
    assert data.left_out == ()
    assert "retrained" in data.missing["left-out"]
    assert data.deciding == ("uniform", "shuffled")
    assert price(Strangers(), context) < 3
    without = gather.gather(Strangers(), context_of(subject.replace(recipe=None)))
    assert "recipe" in without.missing["left-out"]


def test_two_classes_or_few_rows_leave_none_out(context_of: Callable[..., Context], digits: Rows) -> None:
    x, y = digits
    cut = y < 3
    few = np.flatnonzero(cut)[: 3 * (FEWEST - 8)]  # below FEWEST of each
    for rows, classes in ((y < 2, 2), (few, 3)):
        own = Split(x[rows], y[rows])
        model = LogisticRegression(max_iter=500).fit(x[y < classes], y[y < classes])
        train = Split(x[y < classes], y[y < classes])
        context = context_of(model=model, train=train, validation=own, test=train, recipe=lambda train, seed: None)
        data = gather.gather(Strangers(), replace(context, training={"": Training(1.0)}))
        assert data.left_out == ()
        assert "three classes" in data.missing["left-out"]


def test_given_strangers_are_read_without_labels(context_of: Callable[..., Context], subject: Subject) -> None:
    x = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    data = gather.gather(Strangers(), context_of(subject.replace(strangers=Split(x, groups=np.arange(300) // 3))))
    assert data.of("given").sum() == 300
    assert len(np.unique(data.clusters[data.of("given")])) == 100
    assert data.clusters[data.of("given")].min() >= 600  # none is in a group with a row of validation
    assert data.deciding == ("given",)
    p = softmax(subject.model(torch.from_numpy(x)).detach().numpy().astype(float), axis=1)
    np.testing.assert_allclose(np.exp(-data.by("probability")[data.of("given")]), p.max(axis=1), rtol=1e-4)


def test_the_half_that_chooses_hangs_on_a_rows_id(context_of: Callable[..., Context], subject: Subject) -> None:
    """A row chooses or measures wherever it stands, so that a treatment's figures are of rows that chose nothing."""
    whole = gather.gather(Strangers(), context_of(subject))
    rows = np.arange(100, 400)
    part = gather.gather(Strangers(), context_of(subject.replace(validation=subject.validation.subset(rows))))
    assert np.array_equal(whole.chooses[whole.of("known")][rows], part.chooses[part.of("known")])
    assert 0.4 < part.chooses.mean() < 0.6


def test_a_model_that_rejects_is_asked_what_it_answers(
    trainable: Context, case_of_strangers: Callable[..., Any]
) -> None:
    data = gather.gather(Strangers(left_out=1), trainable)
    treated = apply.apply(case_of_strangers(trainable, data)).subject
    context = trainable.of(trainable.subject.replace(model=treated.model), treated.model)
    after = gather.gather(Strangers(left_out=1), context)
    np.testing.assert_allclose(after.strangeness, data.strangeness, rtol=1e-4, atol=1e-4)
    own, limit = after.by(treated.model.detector.name)[after.model == 0], treated.model.threshold
    told = ~np.isclose(own, limit, rtol=1e-5)  # what is stored has 32 bits
    assert np.array_equal(after.answered[after.model == 0][told], own[told] <= limit)
    # The model without a class got a detector and a threshold of its own: it rejects few of its known rows.
    known = (after.model == 1) & after.of("known") & ~after.chooses
    assert 0 < (~after.answered[known]).mean() < 0.1
    assert not after.answered[after.of("left-out")].all()


def test_a_validation_that_was_half_of_test_is_halved_again(
    context_of: Callable[..., Context], subject: Subject
) -> None:
    data = gather.gather(Strangers(), context_of(subject.replace(validation=None)))
    assert 0.4 < data.chooses[data.of("known")].mean() < 0.6
    with pytest.raises(Unavailable, match="1 rows, or their groups, are too few"):
        gather.gather(Strangers(), context_of(subject.replace(strangers=subject.test.subset([0]))))


@pytest.fixture
def case_of_strangers() -> Callable[..., Any]:
    from uncork.remedies._contract import Case

    def make(context: Context, data: Any) -> Case:
        subject = context.subject.without_test()
        return Case(subject, None, {"strangers": data}, "classification", 10, 0, np.random.default_rng(0))

    return make


def test_estimators_and_predictions(context_of: Callable[..., Context], digits: Rows) -> None:
    x, y = digits
    model = LogisticRegression(max_iter=500).fit(x[:500], y[:500])
    cuts = {"train": slice(500), "validation": slice(500, 1000), "test": slice(1000, None)}
    data = gather.gather(Strangers(), context_of(model=model, **{n: Split(x[c], y[c]) for n, c in cuts.items()}))
    assert data.scores == ("probability",)  # the energy of probabilities is 0, and there are no features
    p = {name: Split(model.predict_proba(x[rows]), y[rows]) for name, rows in cuts.items()}
    with pytest.raises(Unavailable, match="none of strangers"):
        gather.gather(Strangers(), context_of(model=Predictions(), **p))
    told = context_of(model=Predictions(), strangers=Split(model.predict_proba(1 - x[:200])), **p)
    data = gather.gather(Strangers(), told)
    assert data.deciding == ("given",)
    assert "noise" in data.missing["uniform"]
    values = {name: Split(x[rows, 9], x[rows, 9]) for name, rows in cuts.items()}
    regression = context_of(model=Predictions("regression"), metric="rmse", **values)
    with pytest.raises(Unavailable, match="regression"):
        gather.gather(Strangers(), regression)


def test_noise_has_the_form_and_the_box_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(3, 200, (300, 4, 5), dtype=np.uint8)
    images[:, 0, 0] = 7
    made = noises(Split(images), 1000, np.random.default_rng(0))
    for x in made.values():
        assert (x.shape, x.dtype) == ((1000, 4, 5), np.uint8)
        assert (x[:, 0, 0] == 7).all()
        assert (x.min(axis=0) >= images.min(axis=0)).all()
        assert (x.max(axis=0) <= images.max(axis=0)).all()
    # Shuffled columns keep their values and lose one another: correlation 1 becomes none.
    both = np.repeat(rng.normal(size=(2000, 1)), 2, axis=1)
    both[0, 0] = np.nan
    made = noises(Split(both), 2000, np.random.default_rng(0))
    assert np.isin(made["shuffled"][:, 1], both[:, 1]).all()
    assert abs(np.corrcoef(np.nan_to_num(made["shuffled"]).T)[0, 1]) < 0.1
    assert abs(np.corrcoef(made["uniform"].T)[0, 1]) < 0.1  # 4 s.d.
    assert made["uniform"].std() > 1.5  # the box is wider than the normal distribution


def test_noise_of_tables_and_text() -> None:
    frame = pd.DataFrame({"a": np.arange(50.0), "b": np.arange(50), "c": list("xy") * 25})
    frame["c"] = frame["c"].astype("category")
    for made in noises(Split(frame), 80, np.random.default_rng(0)).values():
        assert len(made) == 80
        assert made.dtypes.to_dict() == frame.dtypes.to_dict()
        assert set(made["c"]) == {"x", "y"}
        assert made["b"].between(0, 49).all()
    with pytest.raises(Unavailable, match="text"):
        noises(Split(["a b", "c d"]), 10, np.random.default_rng(0))
