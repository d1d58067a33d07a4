"""Remedies for a new domain: each regains what a shift of its own kind costs, on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.offset import Offset
from uncork.remedies import adapt_batchnorm, fine_tune, reweight
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.worth import seconds_of_training
from uncork.schema.contract import Remedy
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.testing.remedies import check_remedy

CaseOf = Callable[..., Any]


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 3))


RECIPE = Recipe(normed, epochs=15, batch_size=50, lr=1e-2)


def drawn(n: int, seed: int, *, scale: float = 1.0, offset: float = 0.0, turn: int = 0) -> Split:
    """Three normal classes; `scale` of all columns and `offset` of the first, as of a camera; `turn`: of the labels."""
    rng = generator(seed, "rows")
    y = rng.integers(3, size=n)
    x = 2.0 * np.eye(6)[y] + rng.normal(size=(n, 6))
    return Split((scale * x + offset * np.eye(6)[0]).astype(np.float32), (y + turn) % 3)


@pytest.fixture(scope="module")
def subject() -> Subject:
    train = drawn(600, 0)
    return Subject(
        RECIPE.fit(train, seed=0),
        train=train,
        validation=drawn(400, 1),
        test=None,
        recipe=RECIPE,
        classes=("a", "b", "c"),
    )


def error(subject: Subject, split: Split) -> float:
    return float(np.mean(logits_of(adapt(subject, "classification"), split).argmax(axis=1) != split.y))


def trained(treated: Any, seed: int = 0) -> Subject:
    return treated.subject.replace(model=treated.train(treated.subject, seed))


def test_batchnorm_regains_what_another_camera_costs(subject: Subject, case_of: CaseOf) -> None:
    """Inputs a third as large and moved: most of the loss is regained on fresh rows, little by statistics of train."""
    moved = {"scale": 0.33, "offset": 2.0}
    case = case_of(subject.replace(shifted=drawn(200, 2, **moved)), n_classes=3)
    fresh = drawn(4000, 3, **moved)
    before, ideal = error(subject, fresh), error(subject, drawn(4000, 3))
    treated = adapt_batchnorm.apply.apply(case)
    assert before > ideal + 0.2
    assert error(treated.subject, fresh) < ideal + 0.1 * (before - ideal)
    control = adapt_batchnorm.apply.control(case, treated)
    assert error(control.subject, fresh) > ideal + 0.8 * (before - ideal)
    assert error(treated.subject, subject.validation) > error(subject, subject.validation)  # the old rows' price
    assert "200 shifted rows, without labels" in treated.changes
    assert "200 random rows of train" in control.changes
    without = adapt_batchnorm.apply.control(case_of(case.subject.replace(train=None), n_classes=3), treated)
    assert "200 random rows of validation" in without.changes


def test_statistics_are_those_of_the_rows_and_of_sixteen_old_ones(case_of: CaseOf) -> None:
    """One BatchNorm on the inputs themselves: its mean and variance by hand."""
    net = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)).eval()
    with torch.no_grad():
        net[0].running_mean.fill_(5.0)
        net[0].running_var.fill_(4.0)
    shifted = drawn(100, 0)
    case = case_of(Subject(net, test=None, validation=drawn(50, 1), shifted=shifted), n_classes=3)
    norm = adapt_batchnorm.apply.apply(case).subject.model[0]
    x, old = torch.from_numpy(shifted.take(np.arange(100))), 16 / 116
    torch.testing.assert_close(norm.running_mean, (1 - old) * x.mean(0) + old * 5.0)
    torch.testing.assert_close(norm.running_var, (1 - old) * x.var(0) + old * 4.0)
    assert net[0].running_mean[0] == 5.0
    assert not norm.training


def test_labels_play_no_part_where_none_are_read(subject: Subject, case_of: CaseOf) -> None:
    shifted = drawn(200, 2, scale=0.33)
    few = subject.replace(recipe=RECIPE.replace(epochs=1))
    for remedy in (adapt_batchnorm.apply, reweight.apply):
        answers = []
        for y in (shifted.y, np.zeros(200, int)):
            treated = remedy.apply(case_of(few.replace(shifted=shifted.with_y(y)), n_classes=3))
            made = treated.subject if treated.train is None else trained(treated)
            answers.append(logits_of(adapt(made, "classification"), subject.validation))
        np.testing.assert_array_equal(*answers)


def test_fine_tuning_learns_other_names(subject: Subject, case_of: CaseOf) -> None:
    """Labels of another convention, which no input tells of: a few labels do; the old convention is forgotten."""
    faster = RECIPE.replace(lr=0.1)
    case = case_of(subject.replace(shifted=drawn(300, 2, turn=1), recipe=faster), n_classes=3)
    treated = fine_tune.apply.apply(case)
    after, control = trained(treated), trained(fine_tune.apply.control(case, treated))
    fresh = drawn(2000, 3, turn=1)
    assert error(subject, fresh) > 0.8
    assert error(after, fresh) < 0.3
    assert error(control, fresh) > 0.8
    assert error(after, subject.validation) > 0.8
    assert "at lr 0.01 on 240 labelled shifted rows, the epoch chosen by 60 more" in treated.changes
    assert fine_tune.apply.price(case.subject, 3) == pytest.approx(6 * treated.compute / 3)


def test_fine_tuning_without_recipe_or_train(subject: Subject, case_of: CaseOf) -> None:
    bare = subject.replace(recipe=None, train=None, shifted=drawn(100, 2, turn=1))
    case = case_of(bare, n_classes=3)
    treated = fine_tune.apply.apply(case)
    assert "lr 0.0001" in treated.changes
    assert fine_tune.apply.control(case, treated).subject is bare
    # Six models see a third of the 100 rows in each of 15 epochs; a training is one epoch over the 100, 3 passes each.
    assert fine_tune.apply.price(bare, 3) == pytest.approx(6 * 15 / 3)
    context = admit(bare.replace(test=drawn(30, 4)), describe_only=False, seed=0, fan=Executor()).context
    assert seconds_of_training(replace(context, seconds_per_row=0.01), None) == pytest.approx(3 * 100 * 0.01)
    frozen = nn.Sequential(nn.Linear(6, 3)).requires_grad_(False)
    made = trained(fine_tune.apply.apply(case_of(bare.replace(model=frozen), n_classes=3))).model
    assert not torch.equal(made[0].weight, frozen[0].weight)
    half = nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 3))
    made = trained(fine_tune.apply.apply(case_of(bare.replace(model=half), n_classes=3))).model
    assert torch.equal(made[0].weight, half[0].weight)
    assert not torch.equal(made[1].weight, half[1].weight)


def normal(n: int, seed: int, share: float) -> Split:
    """Two normal classes, ±1 apart from 0; `share`: of class 1."""
    rng = generator(seed, "normal")
    y = (rng.random(n) < share).astype(int)
    return Split((2.0 * y - 1 + rng.normal(size=n))[:, None], y)


def test_adjusted_logits_regain_what_other_shares_cost(case_of: CaseOf) -> None:
    """Shares of class 1 from .5 to .1: the Bayes rule's offset log(.1/.5) − log(.9/.5) = −2.20 is found within .35
    (some three s.e. of 2,000 and 2,000 rows), and of the loss on fresh rows at least .8 is regained."""
    train = normal(20_000, 0, 0.5)
    model = LogisticRegression(C=1e4).fit(train.take(np.arange(len(train))), train.y)
    subject = Subject(model, train=train, validation=normal(2000, 1, 0.5), test=None, shifted=normal(2000, 2, 0.1))
    treated = reweight.apply.apply(case_of(subject, n_classes=2))
    assert isinstance(treated.subject.model, Offset)
    offset = treated.subject.model.offset
    assert offset[1] - offset[0] == pytest.approx(np.log(0.1 / 0.9), abs=0.35)
    fresh = normal(20_000, 3, 0.1)
    bayes = np.mean((fresh.take(np.arange(20_000))[:, 0] > np.log(9) / 2) != fresh.y)
    before, after = error(subject, fresh), error(treated.subject, fresh)
    assert before - after > 0.8 * (before - bayes)
    assert treated.compute == 0
    assert reweight.apply.price(subject, 3) == 0
    assert "on 2000 shifted rows and 2000 of validation" in treated.changes


def wave(n: int, seed: int, centre: float) -> Split:
    """Labels by the sign of a wave, and x in a place: which line is best hangs on where rows lie."""
    rng = generator(seed, "wave")
    x = centre + rng.normal(size=n)
    noisy = rng.random(n) < 0.05
    return Split(np.c_[x, np.ones(n)].astype(np.float32), ((np.cos(1.5 * x) > 0) ^ noisy).astype(int))


@pytest.mark.slow
def test_rows_of_train_are_weighted_to_look_like_shifted(case_of: CaseOf) -> None:
    """A line can follow the wave in one place only: weighted, the one where shifted lies."""
    recipe = Recipe(Line, epochs=12, batch_size=100, lr=0.1)
    x, y = (np.concatenate(parts) for parts in zip(*((s.take(np.arange(len(s))), s.y) for s in (
        wave(1500, 0, -1.0), wave(300, 1, 1.0))), strict=True))  # fmt: skip
    train = Split(x, y)
    subject = Subject(recipe.fit(train, seed=0), train=train, validation=wave(500, 2, -1.0), test=None, recipe=recipe)
    case = case_of(subject.replace(shifted=wave(300, 3, 1.0)), n_classes=2)
    treated = reweight.apply.apply(case)
    assert "weighted by how much they look like 300 shifted rows" in treated.changes
    fresh = wave(4000, 4, 1.0)
    control = reweight.apply.control(case, treated)
    assert error(trained(treated), fresh) < error(trained(control), fresh) - 0.1
    assert control.compute == treated.compute == 1
    assert reweight.apply.price(subject, 3) == 6


class Line(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 2)


@pytest.mark.parametrize(
    "remedy",
    [adapt_batchnorm.apply, fine_tune.apply, pytest.param(reweight.apply, marks=pytest.mark.slow)],
    ids=lambda r: r.id,
)
def test_keep_the_contract(remedy: Remedy, subject: Subject, case_of: CaseOf) -> None:
    shifted = drawn(150, 2, scale=0.5, offset=0.5)
    check_remedy(remedy, lambda: case_of(subject.replace(shifted=shifted), n_classes=3))


def test_the_offset_keeps_the_contract(case_of: CaseOf) -> None:
    train = normal(500, 0, 0.5)
    model = LogisticRegression().fit(train.take(np.arange(500)), train.y)
    subject = Subject(model, train=train, validation=normal(300, 1, 0.5), test=None, shifted=normal(300, 2, 0.1))
    check_remedy(reweight.apply, lambda: case_of(subject, n_classes=2))


def test_they_say_why_they_can_do_nothing(subject: Subject, case_of: CaseOf) -> None:
    shifted = drawn(100, 2, scale=0.2)
    given = subject.replace(shifted=shifted)
    for remedy in (adapt_batchnorm.apply, fine_tune.apply, reweight.apply):
        with pytest.raises(Unavailable, match="no shifted split was given"):
            remedy.apply(case_of(subject, n_classes=3))
        with pytest.raises(Unavailable, match="shifted has no labels, by which a remedy could be judged"):
            remedy.apply(case_of(given.replace(shifted=Split(shifted.take(np.arange(100)))), n_classes=3))
    around = given.replace(model=Offset(adapt(subject, "classification"), np.zeros(3)))
    for remedy in (adapt_batchnorm.apply, fine_tune.apply):
        with pytest.raises(Unavailable, match="needs a torch module, with nothing around it: the model is Offset"):
            remedy.apply(case_of(around, n_classes=3))
    plain = given.replace(model=nn.Sequential(nn.Linear(6, 3)))
    with pytest.raises(Unavailable, match="no BatchNorm layers"):
        adapt_batchnorm.apply.apply(case_of(plain, n_classes=3))
    with pytest.raises(Unavailable, match="more than the shares of the classes has changed"):
        reweight.apply.apply(case_of(given.replace(recipe=None), n_classes=3))
    with pytest.raises(Unavailable, match="too few rows to hold a fifth"):
        fine_tune.apply.apply(case_of(given.replace(shifted=shifted.subset(np.arange(3))), n_classes=3))
