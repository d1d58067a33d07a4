"""Stacked members against `fit`, the same members trained one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from uncork.data.split import Split
from uncork.schema.errors import BadInput, UncorkError
from uncork.train import stacked
from uncork.train.loop import fit
from uncork.train.recipe import Recipe
from uncork.train.stacked import Job, fit_stacked, stackable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(210, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] * X[:, 2] > 0.2)
TRAIN = Split(X, Y)
SIDE = 6
PICTURES = Split(RNG.normal(size=(90, 1, SIDE, SIDE)).astype(np.float32), RNG.integers(3, size=90))


def mlp(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, outputs))


def cnn() -> nn.Module:
    hidden = 4 * (SIDE // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(hidden, 3),
    )


RECIPE = Recipe(mlp, epochs=1, batch_size=16, lr=3e-3)


def some(k: int, n: int, of: int = len(X)) -> np.ndarray:
    return np.random.default_rng(k).permutation(of)[:n]


def jobs(recipe: Recipe, steps: int, of: int = len(X)) -> list[Job]:
    """Unequal numbers of rows: last batches of 1 (33), 2 (34), all (48) and fewer than one batch (9); rows twice."""
    sizes = (33, 34, 48, 9, 60)
    made = [Job(some(k, n, of), seed=k, steps=steps, recipe=recipe) for k, n in enumerate(sizes)]
    twice = np.concatenate([some(7, 20, of), some(7, 20, of)])
    return [*made, Job(twice, seed=7, steps=steps, recipe=recipe)]


def one_by_one(these: list[Job], train: Split, preprocess=None) -> list[nn.Module]:
    return [
        fit(job.recipe, train.subset(job.rows), seed=job.seed, steps=job.steps, preprocess=preprocess).module
        for job in these
    ]


def check_same(these: list[Job], train: Split, preprocess=None) -> None:
    """Logits on all of train within .001, the same class for every row, and the same state."""
    x = torch.from_numpy(train.take(np.arange(len(train))))
    x = x if preprocess is None else preprocess(x)
    for got, expected in zip(
        fit_stacked(these, train, preprocess=preprocess), one_by_one(these, train, preprocess), strict=True
    ):
        assert not got.training
        with torch.no_grad():
            a, b = got(x), expected(x)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        assert torch.equal(a.argmax(-1), b.argmax(-1))
        assert got.state_dict().keys() == expected.state_dict().keys()


QUICK = (("adamw", "cosine"), ("sgd", "step"))


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        pytest.param(optimizer, schedule, marks=() if (optimizer, schedule) in QUICK else pytest.mark.slow)
        for optimizer in ("adamw", "adam", "sgd")
        for schedule in ("cosine", "constant", "step")
    ],
)
def test_members_are_those_of_fit(optimizer, schedule):
    check_same(jobs(RECIPE.replace(optimizer=optimizer, schedule=schedule, weight_decay=0.1), steps=200), TRAIN)


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "sgd"])
def test_lr_decay_and_steps_of_each_its_own(optimizer):
    recipe = RECIPE.replace(optimizer=optimizer)
    settings = [
        (3e-3, 0.01, 150),
        (3e-4, 0.01, 150),
        (3e-3, 1.0, 150),
        (3e-3, 0.01, 40),
        (1e-2, 0.0, 0),
        (3e-3, 0.01, 150),
    ]
    these = [
        Job(some(k, 30 + k), seed=k, steps=steps, recipe=recipe.replace(lr=lr, weight_decay=decay))
        for k, (lr, decay, steps) in enumerate(settings)
    ]
    check_same(these, TRAIN)


def test_first_step_is_exact_to_the_last_digits():
    """One step of plain descent leaves no room for errors to grow: a wrong decay, batch or weight would show."""
    recipe = RECIPE.replace(optimizer="sgd", schedule="constant", lr=0.1, weight_decay=0.5, batch_size=32)
    these = jobs(recipe, steps=1)
    for got, expected in zip(fit_stacked(these, TRAIN), one_by_one(these, TRAIN), strict=True):
        for a, b in zip(got.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_last_batches_of_one_row():
    recipe = RECIPE.replace(optimizer="sgd", schedule="constant", lr=1e-3, batch_size=2)
    these = [Job(some(k, n), seed=k, steps=12, recipe=recipe) for k, n in enumerate((9, 7, 40, 1))]
    for got, expected in zip(fit_stacked(these, TRAIN), one_by_one(these, TRAIN), strict=True):
        for a, b in zip(got.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_small_cnn():
    recipe = RECIPE.replace(build=cnn)
    check_same(jobs(recipe, steps=60, of=90), PICTURES)


@pytest.mark.slow
def test_regression():
    y = (X[:, 0] + X[:, 1] ** 2).astype(np.float64)
    these = jobs(RECIPE.replace(build=lambda: mlp(1)), steps=200)
    for got, expected in zip(fit_stacked(these, Split(X, y)), one_by_one(these, Split(X, y)), strict=True):
        torch.testing.assert_close(got(torch.from_numpy(X)), expected(torch.from_numpy(X)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: mlp(1), id="(b, 1)"),
        pytest.param(lambda: nn.Sequential(mlp(1), nn.Flatten(0)), id="(b,)", marks=pytest.mark.slow),
    ],
)
def test_two_classes_with_one_output(build):
    train = Split(X, (Y > 0).astype(np.int64))
    these = jobs(RECIPE.replace(build=build), steps=200)
    for got, expected in zip(fit_stacked(these, train), one_by_one(these, train), strict=True):
        a, b = got(torch.from_numpy(X)), expected(torch.from_numpy(X))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        assert torch.equal(a > 0, b > 0)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda out, y: functional.cross_entropy(out, y, reduction="none") + out.var(dim=0).mean(),
    ],
    ids=["mean", "looks at all rows"],
)
def test_own_loss(loss):
    check_same(jobs(RECIPE.replace(loss=loss), steps=100), TRAIN)


def test_string_labels_are_those_of_the_members_own_rows():
    train = Split(X, np.array(["a", "b", "c"])[Y])
    without_a = np.flatnonzero(Y > 0)[:40]
    these = [Job(without_a, seed=0, steps=50, recipe=RECIPE), Job(some(1, 40), seed=1, steps=50, recipe=RECIPE)]
    check_same(these, train)


def test_rows_read_anew_when_they_are_too_many_for_memory(monkeypatch):
    train = Split((X * 20 + 128).clip(0, 255).astype(np.uint8), Y)
    these = jobs(RECIPE, steps=50)
    check_same(these, train, lambda x: x.float() / 255)
    kept = fit_stacked(these, train, preprocess=lambda x: x.float() / 255)
    monkeypatch.setattr(stacked, "PRELOADED_BYTES", 0)
    monkeypatch.setattr(stacked, "PLANNED_POSITIONS", 1)
    for a, b in zip(kept, fit_stacked(these, train, preprocess=lambda x: x.float() / 255), strict=True):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name])


class Tied(nn.Module):
    """A weight used twice, one that is frozen, one that is never used, and a buffer of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.frozen, self.unused = (nn.Linear(6, 6) for _ in range(4))
        self.second.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.register_buffer("scale", torch.rand(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.frozen(self.first(x).relu()).relu() * self.scale)


def test_tied_frozen_and_unused_weights_and_buffers():
    recipe = RECIPE.replace(build=Tied)
    check_same(jobs(recipe, steps=100), TRAIN)
    start = [fit(recipe, TRAIN, seed=7, steps=0).module, fit_stacked([Job(np.arange(9), 7, 3, recipe)], TRAIN)[0]]
    for part in ("frozen.weight", "unused.weight", "scale"):
        assert torch.equal(start[0].state_dict()[part], start[1].state_dict()[part])


@pytest.mark.parametrize("build", [mlp, cnn])
def test_a_diverged_member_does_not_touch_the_others(build):
    train = TRAIN if build is mlp else PICTURES
    recipe = RECIPE.replace(build=build, optimizer="sgd", lr=1e-2)
    good = [Job(some(k, 40, 90), seed=k, steps=60, recipe=recipe) for k in range(3)]
    bad = Job(some(3, 40, 90), seed=3, steps=60, recipe=recipe.replace(lr=1e30))
    got = fit_stacked([good[0], bad, *good[1:]], train)
    with pytest.raises(UncorkError) as expected:
        one_by_one([bad], train)
    assert type(got[1]) is UncorkError
    assert str(got[1]) == str(expected.value)
    x = torch.from_numpy(train.take(np.arange(90)))
    for module, alone in zip([got[0], *got[2:]], one_by_one(good, train), strict=True):
        torch.testing.assert_close(module(x), alone(x), rtol=1e-3, atol=1e-3)


def test_all_diverged():
    bad = [Job(some(k, 40), k, 10**9, RECIPE.replace(optimizer="sgd", lr=1e30)) for k in range(2)]
    assert all(isinstance(error, UncorkError) for error in fit_stacked(bad, TRAIN))


def test_random_state_and_inputs_are_left_alone():
    these = jobs(RECIPE, steps=3)
    before, rows = torch.get_rng_state(), copy.deepcopy([job.rows for job in these])
    one, two = fit_stacked(these, TRAIN), fit_stacked(these, TRAIN)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a, job.rows) for a, job in zip(rows, these, strict=True))
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


class Centred(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.inner(x)
        return out if out.sum().item() > 0 else -out


class Drawing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.1, training=self.training)


def net(*layers: nn.Module) -> Recipe:
    return RECIPE.replace(build=lambda: nn.Sequential(*layers, nn.Linear(6, 3)))


@pytest.mark.parametrize(
    ("recipe", "preprocess", "reason"),
    [
        (RECIPE, None, ""),
        (RECIPE.replace(build=Tied), None, ""),
        (RECIPE, lambda x: x * 2, ""),
        (net(nn.Dropout(0.0)), None, ""),
        (net(nn.Dropout(0.1)), None, ""),
        (net(Drawing()), None, "draws random numbers as it trains, outside of dropout modules"),
        (net(nn.BatchNorm1d(6)), None, "changes its buffers as it trains, as BatchNorm does"),
        (net(nn.BatchNorm1d(6, track_running_stats=False)), None, "depends on the other rows"),
        (net(Centred()), None, "depends on the other rows"),
        (RECIPE.replace(build=Branching), None, "torch.func.vmap can't run the net"),
        (RECIPE.replace(augment=lambda x, g: x), None, "recipe.augment"),
        (RECIPE.replace(loss=lambda out, y: torch.rand(len(y)) * out[:, 0]), None, "recipe.loss draws random numbers"),
        (RECIPE, lambda x: x + torch.rand(6), "preprocess draws random numbers"),
        (RECIPE, lambda x: x - x.mean(dim=0), "what preprocess makes of a row depends on the other rows"),
        (RECIPE, lambda x: {"x": x}, "mappings of tensors"),
        (RECIPE, lambda x: x[:, :4], "the net refuses the rows (mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_can_be_stacked(recipe, preprocess, reason):
    got = stackable(recipe, TRAIN, preprocess)
    assert got == "" if reason == "" else reason in got
    if reason:
        with pytest.raises(BadInput, match="can't be trained as a stack: "):
            fit_stacked([Job(np.arange(40), 0, 1, recipe)], TRAIN, preprocess=preprocess)


def dropping(p: float) -> Recipe:
    layers = (nn.Linear(6, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 3))
    return RECIPE.replace(build=lambda: nn.Sequential(*copy.deepcopy(layers)))


def test_members_with_dropout_draw_their_own_and_the_same_again():
    twins = [Job(np.arange(60), seed=3, steps=5, recipe=dropping(0.5))] * 2
    first, again = fit_stacked(twins, TRAIN), fit_stacked(twins, TRAIN)
    weights = [module[0].weight.detach() for module in (*first, *again)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert torch.equal(weights[1], weights[3])
    assert not first[0].training


@pytest.mark.slow
def test_dropout_regularises_members_as_it_does_one_model():
    """Train loss, mean of 16 members: learnt by heart without dropout, not with it. The difference between the engines
    is within 4 s.e. of two independent means of 16: chance of failing correct code below .001."""
    x = torch.from_numpy(X[:60])
    y = torch.from_numpy(Y[:60])
    means = []
    for p in (0.0, 0.8):
        recipe = dropping(p).replace(lr=0.01)
        these = [Job(np.arange(60), seed=k, steps=150, recipe=recipe) for k in range(16)]
        alone, together = (
            np.array([float(functional.cross_entropy(module(x), y).detach()) for module in modules])
            for modules in (one_by_one(these, TRAIN), fit_stacked(these, TRAIN))
        )
        error = np.sqrt((alone.var(ddof=1) + together.var(ddof=1)) / 16)
        assert abs(alone.mean() - together.mean()) < 4 * error + 1e-4
        means.append(together.mean())
    assert means[1] > 1.5 * means[0]


def test_texts_and_single_rows():
    assert "a torch model needs tensors but gets list" in stackable(RECIPE, Split(["a", "b"], [0, 1]))
    assert stackable(RECIPE, TRAIN.subset(np.array([3]))) == ""


def test_errors():
    with pytest.raises(ValueError, match="may differ in lr and weight_decay only"):
        fit_stacked([Job(np.arange(9), 0, 1, RECIPE), Job(np.arange(9), 0, 1, RECIPE.replace(batch_size=4))], TRAIN)
    late = Split(X, np.where(np.arange(len(Y)) == 200, 7, Y))
    with pytest.raises(BadInput, match=r"train.y holds class 7, but the model has 3 outputs"):
        fit_stacked([Job(np.arange(len(Y)), 0, 1, RECIPE)], late)
    with pytest.raises(BadInput, match="regression takes one output"):
        fit_stacked([Job(np.arange(9), 0, 1, RECIPE)], Split(X, X[:, 0].astype(np.float64)))
