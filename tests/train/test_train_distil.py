"""Distillation: its loss against the closed form, what it leaves alone, and what a teacher is worth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import BadInput, Recipe, Split
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.torch_model import TorchModel
from uncork.train.distil import Taught, distilled, taught

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
TRAIN = Split(X, Y)


def net(width: int = 3, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


STEP = Recipe(net, epochs=1, batch_size=60, lr=0.1, optimizer="sgd", weight_decay=0.0, schedule="constant")


def teacher(outputs: int = 2, width: int | None = 5) -> Taught:
    rng = np.random.default_rng(1)
    features = None if width is None else rng.normal(size=(60, width)).astype(np.float16)
    return Taught(rng.normal(size=(60, outputs)).astype(np.float32), features)


def state(module: nn.Module) -> list[np.ndarray]:
    return [value.numpy() for value in module.state_dict().values()]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(state(a), state(b), strict=True))


def test_without_a_teacher_it_is_the_recipe() -> None:
    assert same(distilled(net, TRAIN, None, STEP, seed=3, steps=5), STEP.replace(epochs=5).fit(TRAIN, seed=3))


def test_labels_alone_with_a_teacher_beside_are_the_recipe_too() -> None:
    """The student is drawn before the map, so that it begins as the control does."""
    told = distilled(net, TRAIN, teacher(), STEP, seed=3, steps=5, labels=1.0, features=0.0)
    assert same(told, STEP.replace(epochs=5).fit(TRAIN, seed=3))


def test_one_step_is_down_the_gradient_of_the_stated_loss() -> None:
    torch.manual_seed(0)
    start, given = net(), teacher(width=None)
    made = distilled(start, TRAIN, given, STEP, seed=0, temperature=3.0, labels=0.25)
    x, y, z = torch.from_numpy(X), torch.from_numpy(Y), torch.from_numpy(given.logits)
    out = start(x)
    p, q = (z / 3).softmax(dim=1), (out / 3).softmax(dim=1)
    hard = -out.log_softmax(dim=1)[torch.arange(60), y].mean()
    soft = (p * (p.log() - q.log())).sum(dim=1).mean()
    grads = torch.autograd.grad(0.25 * hard + 0.75 * 9 * soft, list(start.parameters()))
    for before, grad, after in zip(start.parameters(), grads, made.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.1 * grad, rtol=1e-4, atol=1e-6)


def test_features_pull_the_layers_below_and_leave_the_head_alone() -> None:
    torch.manual_seed(0)
    start = net()
    settings: dict[str, Any] = {"seed": 0, "labels": 1.0}
    without, towards = (distilled(start, TRAIN, teacher(), STEP, features=f, **settings) for f in (0.0, 1.0))
    assert torch.equal(without[2].weight, towards[2].weight)
    assert not torch.equal(without[0].weight, towards[0].weight)
    assert not towards[2]._forward_pre_hooks


def test_features_of_any_size_tell_the_same() -> None:
    """Half a float ends at 65,504, and near 1,000 has steps of a half."""

    class Moved(nn.Module):
        def forward(self, x: Any) -> Any:
            return 1e6 * x + 1e8

    plain, moved = (
        taught(TorchModel(nn.Sequential(nn.Identity(), between, nn.Linear(4, 2)), task="classification"), TRAIN)
        for between in (nn.Identity(), Moved())
    )
    assert plain.features is not None
    np.testing.assert_allclose(moved.features, plain.features, atol=0.01)


@pytest.mark.slow
def test_features_come_to_explain_the_teachers() -> None:
    """Of 6 units trained towards 8 of a teacher; those trained on its answers alone explain less than half as well."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    known = taught(TorchModel(wide, task="classification"), TRAIN)
    assert known.features is not None
    wanted = known.features.astype(np.float64)
    torch.manual_seed(1)
    narrow = net(6)
    recipe = Recipe(net, epochs=400, batch_size=60, lr=0.02, weight_decay=0.0)

    def unexplained(module: nn.Module) -> float:
        """Share of the variance of the teacher's features that no linear map of the student's explains."""
        found = TorchModel(module, task="classification").outputs(X, features=True).features
        given = np.concatenate([np.asarray(found), np.ones((60, 1))], axis=1)
        rest = wanted - given @ np.linalg.lstsq(given, wanted, rcond=None)[0]
        return float((rest**2).sum() / ((wanted - wanted.mean(axis=0)) ** 2).sum())

    alone, pulled = (distilled(narrow, TRAIN, known, recipe, seed=0, features=f) for f in (0.0, 1.0))
    assert unexplained(pulled) < 0.5 * unexplained(alone)


@pytest.mark.slow
def test_a_student_with_one_output_and_one_of_probabilities_follow() -> None:
    rng = np.random.default_rng(2)
    z = 3 * rng.normal(size=60)
    given = Taught(np.stack([np.zeros(60), z], axis=1).astype(np.float32))
    recipe = Recipe(net, epochs=300, batch_size=60, lr=0.05)
    single = distilled(partial(net, 16, 1), TRAIN, given, recipe, seed=0, labels=0.0)
    sure = distilled(
        lambda: nn.Sequential(net(16), nn.Softmax(dim=1)),
        TRAIN,
        given,
        recipe.replace(loss=lambda p, y: nn.functional.nll_loss(p.log(), y)),
        seed=0,
        labels=0.0,
    )
    for made in (single, sure):
        said = logits_of(as_model(made, "classification"), TRAIN)
        assert np.corrcoef(said[:, 1] - said[:, 0], z)[0, 1] > 0.5
    labels = logits_of(as_model(distilled(net, TRAIN, None, recipe, seed=0), "classification"), TRAIN)
    assert np.corrcoef(labels[:, 1] - labels[:, 0], z)[0, 1] < 0.4  # what is drawn has nothing to do with the labels


@pytest.mark.slow
def test_values_of_a_regression_are_learnt() -> None:
    values = (2 * X[:, 0]).astype(np.float32)
    noisy = Split(X, (values + np.random.default_rng(3).normal(size=60)).astype(np.float32))
    recipe = Recipe(net, epochs=300, batch_size=60, lr=0.05)
    made = distilled(partial(net, 16, 1), noisy, Taught(values[:, None]), recipe, seed=0, labels=0.0)
    assert np.abs(made(torch.from_numpy(X)).detach().numpy()[:, 0] - values).mean() < 0.2


@pytest.mark.slow
def test_a_teacher_that_knows_better_than_the_labels_is_worth_having() -> None:
    """A third of the labels is turned; the teacher is sure of the truth. Over seeds 0 to 2: .02 against .2."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    truth = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    train = Split(x[:200], np.where(rng.random(200) < 1 / 3, 1 - truth[:200], truth[:200]))
    given = Taught(np.where(np.eye(2)[truth[:200]] > 0, 4.0, -4.0).astype(np.float32))
    recipe = Recipe(partial(net, 32), epochs=60, batch_size=50, lr=0.02)

    def wrong(told: Taught | None) -> float:
        made = distilled(recipe.build, train, told, recipe, seed=0)
        return float((logits_of(as_model(made, "classification"), Split(x[200:])).argmax(axis=1) != truth[200:]).mean())

    assert wrong(given) < wrong(None) - 0.1


def test_it_streams_the_teacher_and_says_what_does_not_fit() -> None:
    model = TorchModel(net(), task="classification")
    whole = taught(model, TRAIN)
    assert (whole.logits.dtype, whole.features.dtype, whole.features.shape) == (np.float32, np.float16, (60, 3))
    np.testing.assert_array_equal(whole.logits, model.outputs(X).logits)
    np.testing.assert_allclose(whole.features.astype(np.float64).std(axis=0), 1, atol=1e-3)
    half = whole.subset(np.arange(60) % 2 == 0)
    np.testing.assert_array_equal(half.logits, whole.logits[::2])
    with pytest.raises(BadInput, match="answered 30 rows, but train has 60"):
        distilled(net, TRAIN, half, STEP, seed=0)
    with pytest.raises(BadInput, match="the student has 3 outputs, the teacher 2"):
        distilled(partial(net, 3, 3), TRAIN, whole, STEP, seed=0)
