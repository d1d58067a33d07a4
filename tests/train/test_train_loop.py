from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from uncork.data.split import Split
from uncork.schema.errors import BadInput, UncorkError
from uncork.train.loop import epoch_batches, fit, fit_any, lr_factor, make_optimizer
from uncork.train.recipe import Recipe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(97, 5)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
TRAIN = Split(X, Y)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))


RECIPE = Recipe(build, epochs=3, batch_size=16, lr=1e-2)


def weights(module: nn.Module) -> list[np.ndarray]:
    return [value.detach().numpy() for value in module.state_dict().values()]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(weights(a), weights(b), strict=True))


def test_a_seed_gives_the_same_bits_and_leaves_the_global_state_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = fit(RECIPE, TRAIN, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(one.module, fit(RECIPE, TRAIN, seed=5).module)
    assert same(one.module, RECIPE.fit(TRAIN, seed=5))
    assert not same(one.module, fit(RECIPE, TRAIN, seed=6).module)
    assert not any(part.training for part in one.module.modules())


@pytest.mark.parametrize("steps", [None, 1, 7, 8, 30])
@pytest.mark.parametrize("batch_size", [16, 97, 200, 96])
def test_steps_are_exact(monkeypatch, steps, batch_size):
    counted = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: counted.append(self.param_groups[0]["lr"]))
    recipe, told = RECIPE.replace(batch_size=batch_size), []
    trained = fit(recipe, TRAIN, seed=0, steps=steps, progress=lambda step, total: told.append((step, total)))
    expected = recipe.steps(97) if steps is None else steps
    assert len(counted) == trained.steps == expected
    assert told == [(i + 1, expected) for i in range(expected)]
    assert not trained.stopped_early
    assert len(trained.loss) == math.ceil(expected / math.ceil(97 / batch_size))
    cosine = [1e-2 * 0.5 * (1 + math.cos(math.pi * i / expected)) for i in range(expected)]
    np.testing.assert_allclose(counted, cosine)


def test_schedules():
    assert [lr_factor("constant", i, 8) for i in range(8)] == [1] * 8
    np.testing.assert_allclose([lr_factor("step", i, 8) for i in range(8)], [1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert lr_factor("cosine", 0, 10) == 1
    assert lr_factor("cosine", 5, 10) == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "size"), [(97, 16), (97, 96), (96, 16), (5, 2), (3, 1), (1, 8), (10, 3)])
def test_batches_hold_each_row_once_an_epoch(n, size):
    batches = list(epoch_batches(n, size, seed=0, epoch=0))
    assert len(batches) == math.ceil(n / size)
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert max(map(len, batches)) <= size
    if size > 2 and n > 1:
        assert min(map(len, batches)) > 1
    if n > 5:
        assert not np.array_equal(np.concatenate(batches), np.concatenate(list(epoch_batches(n, size, 0, 1))))


def test_one_plain_step_of_sgd_is_gradient_descent():
    y = (X @ np.arange(5) + 1).astype(np.float32)
    start = nn.Linear(5, 1)
    recipe = Recipe(lambda: _copy(start), epochs=1, batch_size=97, lr=0.01, optimizer="sgd", weight_decay=0.1)
    trained = fit(recipe, Split(X, y), seed=0).module
    w, b = start.weight.detach().numpy()[0], start.bias.item()
    residual = X @ w + b - y
    np.testing.assert_allclose(
        trained.weight.detach().numpy()[0], w - 0.01 * (2 * (residual[:, None] * X).mean(0) + 0.1 * w), rtol=1e-4
    )
    np.testing.assert_allclose(trained.bias.item(), b - 0.01 * 2 * residual.mean(), rtol=1e-4)  # no decay


def _copy(module: nn.Linear) -> nn.Linear:
    other = nn.Linear(module.in_features, module.out_features)
    other.load_state_dict(module.state_dict())
    return other


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_decay_spares_biases_and_norms(name, kind):
    module = build()
    module[0].weight.requires_grad_(False)
    optimizer = make_optimizer(RECIPE.replace(optimizer=name, weight_decay=0.3), module)
    assert type(optimizer) is kind
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {id(p): 0.3 if p.ndim >= 2 else 0.0 for p in module.parameters() if p.requires_grad}
    with pytest.raises(BadInput, match="no parameters to train"):
        make_optimizer(RECIPE, nn.Flatten())


def test_regression_reaches_least_squares():
    y = (X @ np.array([1, -2, 0.5, 0, 3]) + 0.7 + RNG.normal(size=97)).astype(np.float64)
    recipe = Recipe(lambda: nn.Linear(5, 1), epochs=600, batch_size=97, lr=0.1, weight_decay=0)
    module = recipe.fit(Split(X.astype(np.float64), y))
    truth = np.linalg.lstsq(np.c_[X, np.ones(97)], y, rcond=None)[0]
    np.testing.assert_allclose([*module.weight.detach().numpy()[0], module.bias.item()], truth, atol=2e-3)


@pytest.mark.parametrize("y", [Y, np.where(Y, "yes", "no")])
@pytest.mark.parametrize("k", [1, 2])
def test_classification_learns(y, k):
    recipe = Recipe(lambda: nn.Linear(5, k), epochs=60, batch_size=16, lr=0.05)
    out = recipe.fit(Split(X, y))(torch.from_numpy(X)).detach().numpy()
    predicted = out.argmax(1) if k == 2 else out[:, 0] > 0
    assert (predicted == Y).mean() > 0.95


def test_sample_weights_of_zero_leave_rows_out():
    keep = np.arange(97) < 50
    recipe = Recipe(lambda: nn.Linear(5, 2), epochs=5, batch_size=97, optimizer="sgd", lr=0.1, weight_decay=0)
    weighted = fit(recipe, TRAIN, seed=0, sample_weight=keep * 3.0).module
    alone = fit(recipe.replace(batch_size=50), TRAIN.subset(keep), seed=0).module
    for a, b in zip(weights(weighted), weights(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_class_weights_are_row_weights():
    by_class = fit(RECIPE, TRAIN, seed=0, class_weight=np.array([1.0, 4.0])).module
    by_row = fit(RECIPE, TRAIN, seed=0, sample_weight=np.where(Y, 4.0, 1.0)).module
    assert same(by_class, by_row)
    assert not same(by_class, fit(RECIPE, TRAIN, seed=0).module)


def test_early_stopping_restores_the_best_weights():
    noise = Split(X[:40], RNG.integers(0, 2, 40))
    other = Split(X[40:], Y[40:])
    recipe = Recipe(lambda: nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 2)), epochs=200, lr=0.01)
    trained = fit(recipe, noise, seed=0, validation=other, patience=3)
    assert trained.stopped_early
    assert trained.steps == len(trained.loss) < 200

    def loss_after(epochs: int) -> float:
        # Same steps as the run that stopped, but cut: a schedule is set by the steps planned, so use a constant one.
        module = fit(recipe.replace(schedule="constant"), noise, seed=0, steps=epochs).module
        return nn.functional.cross_entropy(module(torch.from_numpy(X[40:])), torch.from_numpy(Y[40:])).item()

    constant = fit(recipe.replace(schedule="constant"), noise, seed=0, validation=other, patience=3)
    got = nn.functional.cross_entropy(constant.module(torch.from_numpy(X[40:])), torch.from_numpy(Y[40:])).item()
    losses = [loss_after(epochs) for epochs in range(1, constant.steps + 1)]
    assert got == pytest.approx(min(losses))
    assert int(np.argmin(losses)) == constant.steps - 1 - 3
    with pytest.raises(BadInput, match="patience is 3: give 1 or more, and a validation split"):
        fit(recipe, noise, seed=0, patience=3)


def test_the_loss_on_validation_is_told_after_each_epoch():
    held = Split(X[80:], Y[80:])
    constant = RECIPE.replace(schedule="constant")
    trained = fit(constant, TRAIN.subset(np.arange(80)), seed=0, validation=held)
    assert len(trained.validation_loss) == len(trained.loss) == 3
    last = fit(constant, TRAIN.subset(np.arange(80)), seed=0).module(torch.from_numpy(X[80:]))
    loss = nn.functional.cross_entropy(last, torch.from_numpy(Y[80:])).item()
    assert trained.validation_loss[-1] == pytest.approx(loss)
    assert fit(constant, TRAIN, seed=0).validation_loss == []


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_average_on_a_quadratic_is_the_mean_of_the_iterates(share):
    """Least squares by full batches: with a constant rate, runs that are cut give the iterates one by one."""
    y = (X @ np.arange(5) + 1).astype(np.float32)
    recipe = Recipe(
        lambda: nn.Linear(5, 1), epochs=40, batch_size=97, lr=0.05, optimizer="sgd", weight_decay=0, schedule="constant"
    )
    first = 40 - round(share * 40) + 1
    iterates = [weights(fit(recipe, Split(X, y), seed=0, steps=k).module) for k in range(first, 41)]
    averaged = weights(fit(recipe, Split(X, y), seed=0, average=share).module)
    for got, of_each in zip(averaged, zip(*iterates, strict=True), strict=True):
        np.testing.assert_allclose(got, np.mean(of_each, axis=0), rtol=1e-5, atol=1e-6)
    assert np.abs(averaged[0] - iterates[-1][0]).max() > 1e-3


def test_the_rate_stays_while_weights_are_averaged(monkeypatch):
    rates = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: rates.append(self.param_groups[0]["lr"]))
    fit(RECIPE, TRAIN, seed=0, steps=8, average=0.25)
    cosine = [1e-2 * 0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    np.testing.assert_allclose(rates, [*cosine[:6], cosine[5], cosine[5]])


@pytest.mark.parametrize("average", [None, 0.5])
def test_batchnorm_gets_the_averaged_nets_statistics(average):
    """One batch holds all of train: its mean and variance are what the running ones must be, and without are not."""
    whole = RECIPE.replace(batch_size=97, epochs=20)
    module = fit(whole, TRAIN, seed=0, average=average).module
    hidden = module[0](torch.from_numpy(X)).detach()
    same_mean = torch.allclose(module[1].running_mean, hidden.mean(0), atol=1e-5)
    same_variance = torch.allclose(module[1].running_var, hidden.var(0), rtol=1e-4)
    assert same_mean == same_variance == (average is not None)
    assert module[1].momentum == 0.1
    assert not any(part.training for part in module.modules())


def test_averaging_goes_through_fit_any_and_refuses_what_it_can_not_do():
    averaged = fit(RECIPE, TRAIN, seed=3, average=0.25).module
    assert same(fit_any(RECIPE, TRAIN, 3, average=0.25), averaged)
    assert not same(fit_any(RECIPE, TRAIN, 3), averaged)
    with pytest.raises(BadInput, match="average is 0: give a share"):
        fit(RECIPE, TRAIN, seed=0, average=0)
    with pytest.raises(BadInput, match="no validation split"):
        fit(RECIPE, TRAIN, seed=0, average=0.5, validation=TRAIN)
    with pytest.raises(BadInput, match="for which average can't be set"):
        fit_any(lambda train, seed: 1, TRAIN, 0, average=0.25)


def test_rows_are_changed_before_they_are_preprocessed():
    class Doubled:
        def rows(self, batch, generator):
            return 2 * batch

        def __call__(self, batch, generator):
            return batch

    def preprocess(batch):
        return batch + 1

    doubled = Split(2 * X, Y)
    got = fit(RECIPE.replace(augment=Doubled()), TRAIN, seed=0, preprocess=preprocess).module
    assert same(got, fit(RECIPE, doubled, seed=0, preprocess=preprocess).module)


def test_augment_and_preprocess_are_seeded_and_in_order():
    seen = []

    def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(batch)
        return batch + 0.1 * torch.randn(batch.shape, generator=generator)

    recipe = RECIPE.replace(augment=augment, epochs=1)
    one = fit(recipe, TRAIN, seed=0, preprocess=lambda x: 2 * x).module
    np.testing.assert_array_equal(np.sort(torch.cat(seen).numpy(), axis=0), np.sort(2 * X, axis=0))
    assert same(one, fit(recipe, TRAIN, seed=0, preprocess=lambda x: 2 * x).module)
    assert not same(one, fit(recipe.replace(augment=None), TRAIN, seed=0, preprocess=lambda x: 2 * x).module)


def test_all_kinds_of_split_train_alike():
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    assert same(RECIPE.fit(TRAIN), RECIPE.fit(Split(data)))
    assert same(RECIPE.fit(TRAIN), RECIPE.fit(Split(torch.from_numpy(X).double(), Y)))
    order = np.arange(96, -1, -1)
    assert same(RECIPE.fit(TRAIN), RECIPE.fit(Split(X[order], Y[order]).subset(order)))


@pytest.mark.parametrize(
    "loss",
    [
        lambda out, y: nn.functional.cross_entropy(out, y, reduction="none"),
        lambda out, y: nn.functional.cross_entropy(out, y),
        nn.CrossEntropyLoss(),
    ],
)
def test_a_given_loss_replaces_the_default(loss):
    for a, b in zip(weights(RECIPE.replace(loss=loss).fit(TRAIN)), weights(RECIPE.fit(TRAIN)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def run(recipe: Recipe = RECIPE, train: Split = TRAIN, **settings):
    return lambda: fit(recipe, train, seed=0, **settings)


ONE_ROW = Split(X[:1], Y[:1])


@pytest.mark.parametrize(
    ("go", "message"),
    [
        (run(train=Split(X)), "train.y is absent"),
        (
            run(train=Split(X, Y + 1)),
            "train.y holds class 2, but the model has 2 outputs (0–1): check the labels' offset",
        ),
        (run(train=Split(X, Y - 1)), "train.y holds class -1, but the model has 2 outputs"),
        (run(train=Split(X, Y + 0.5)), "train.y holds floats but the model has outputs of shape (2,)"),
        (run(train=Split(X[:, :3], Y)), "train.x: the model refuses rows of shape (3,): mat1"),
        (run(train=Split(X.astype(np.uint8), Y)), "train.x holds uint8 values"),
        (run(train=ONE_ROW), "train.x: the model refuses rows of shape (5,): Expected more than 1 value per channel"),
        (run(sample_weight=np.ones(3)), "sample_weight has shape (3,) but train has 97 rows"),
        (run(sample_weight=-np.ones(97)), "must be finite, not below 0, and not all 0"),
        (run(class_weight=np.ones(1)), "class_weight has shape (1,): give one weight for each class"),
        (
            run(RECIPE.replace(loss=nn.CrossEntropyLoss()), sample_weight=np.ones(97)),
            "returns a mean, which can't be weighted",
        ),
        (run(RECIPE.replace(loss=lambda out, y: out)), "recipe.loss returns shape (16, 2)"),
    ],
)
def test_errors(go, message):
    with pytest.raises(BadInput) as error:
        go()
    assert message in str(error.value)


def test_divergence_is_named():
    y = (X[:, 0] * 1e3).astype(np.float64)
    recipe = Recipe(lambda: nn.Linear(5, 1), epochs=50, lr=1e6, optimizer="sgd")
    with pytest.raises(
        UncorkError, match=r"training diverged at step \d+ \(loss (inf|nan)\): lower lr, which is 1e\+06"
    ):
        recipe.fit(Split(X, y))


def test_fit_any():
    assert same(fit_any(RECIPE, TRAIN, 3), RECIPE.fit(TRAIN, seed=3))
    assert fit_any(lambda train, seed: (len(train), seed), TRAIN, 3, preprocess=abs) == (97, 3)
    for recipe, settings, message in (
        (lambda train, seed: 1, {"steps": 3}, "for which steps can't be set"),
        (lambda train, seed: None, {}, "recipe returned None"),
        (3, {}, "recipe is of type int"),
    ):
        with pytest.raises(BadInput, match=message):
            fit_any(recipe, TRAIN, 0, **settings)
