"""Patched: the corrected rows at any batch size, all others bit for bit, and taken back without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from uncork import Split
from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.patched import Memory, Patched, places, remembered
from uncork.models.temperature import Tempered
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(1200, 20)).astype(np.float32)
Y = (X @ np.linspace(-1, 1, 20) + 1.5 * np.random.default_rng(1).normal(size=1200) > 0).astype(int)
ALL = np.arange(1200)


def net(features: str | None = None) -> Model:
    """Trained a little: about a quarter of the rows are wrong."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 2))
        optimiser = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(30):
            loss = nn.functional.cross_entropy(module(torch.tensor(X[:400])), torch.tensor(Y[:400]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model = as_model(module, "classification", features=features)
    model.outputs(X[:2])
    return model


def linear() -> Model:
    """Without features: corrections lie in its logits."""
    return as_model(LogisticRegression().fit(X[:400], Y[:400]), "classification")


def patched(inner: Model, count: int) -> tuple[Patched, np.ndarray]:
    """(`inner` with so many mistakes corrected, those rows); among logits a few can't be told from right rows."""
    where = places(inner, Split(X), ALL)
    wrong = np.flatnonzero(where.decided != Y)[:count]
    rest = np.setdiff1d(ALL, wrong)
    known = places(inner, Split(X), rest)
    memory = remembered(wrong, where.points[wrong], Y[wrong], known, Y[rest], rest)
    assert len(memory) == count or (memory.space == "logits" and len(memory) >= 0.9 * count)
    return Patched(inner, memory), np.array(memory.ids, int)


def test_no_patch_is_the_model_itself() -> None:
    inner = net()
    model = Patched(inner, patched(inner, 1)[0].memory.take(np.zeros(1, bool)))
    for features in (False, True):
        one, other = inner.outputs(X, features), model.outputs(X, features)
        np.testing.assert_array_equal(one.logits, other.logits)
        assert (other.features is not None) == features


@pytest.mark.parametrize("make", [net, linear])
@pytest.mark.parametrize("count", [1, 10, 100])
def test_corrected_rows_and_no_others(make: Any, count: int) -> None:
    inner = make()
    model, wrong = patched(inner, count)
    before, after = inner.outputs(X).logits, model.outputs(X).logits
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after[wrong].argmax(axis=1), Y[wrong])
    np.testing.assert_array_equal(np.sort(after, axis=1), np.sort(before, axis=1))  # as sure as before
    # By brute force: outside all balls the same bits, inside the nearest's class.
    where = places(inner, Split(X), ALL).points.astype(float)
    apart = np.stack([np.linalg.norm(where - c, axis=1) for c in model.memory.centres.astype(float)], axis=1)
    outside = (apart > model.memory.radii).all(axis=1)
    assert outside.sum() > 1000
    assert before[outside].tobytes() == after[outside].tobytes()
    nearest = np.where(apart <= model.memory.radii, apart, np.inf).argmin(axis=1)
    np.testing.assert_array_equal(after[~outside].argmax(axis=1), model.memory.labels[nearest[~outside]])


@pytest.mark.parametrize("size", [1, 7, 256])
def test_any_batch_decides_alike(size: int) -> None:
    """A batch may round otherwise, but what it says of a row that no correction reaches is the model's own."""
    inner = net()
    model, wrong = patched(inner, 100)
    whole = model.outputs(X).logits.argmax(axis=1)
    order = np.random.default_rng(2).permutation(1200)[: 100 * size]
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        before, after = inner.outputs(X[rows]).logits, model.outputs(X[rows]).logits
        np.testing.assert_array_equal(after.argmax(axis=1), whole[rows])
        same = before.argmax(axis=1) == after.argmax(axis=1)
        assert before[same].tobytes() == after[same].tobytes()
        assert not same[np.isin(rows, wrong)].any()


def test_taken_back_without_a_trace() -> None:
    inner = net()
    model, wrong = patched(inner, 30)
    ids = [str(row) for row in wrong]
    few = model.without(ids[10:])
    assert isinstance(few, Patched)
    assert few.memory.ids == tuple(ids[:10])
    assert few.outputs(X).logits[wrong[:10]].argmax(axis=1).tolist() == Y[wrong[:10]].tolist()
    assert model.without(wrong) is inner
    assert few.without(few.memory.ids) is inner
    assert len(model.memory) == 30
    with pytest.raises(BadInput, match=r"no correction of 'x': there are those of .* \(30 in all\)"):
        model.without(["x"])


def test_the_first_hold_when_many_more_come() -> None:
    inner = net()
    (_, wrong), (many, _) = patched(inner, 10), patched(inner, 150)
    assert (many.outputs(X[wrong]).logits.argmax(axis=1) == Y[wrong]).all()


def test_two_classes_close_to_one_another() -> None:
    """The second lies within the first's ball: each decides its own row, and the nearer decides between."""
    inner = net()
    points = places(inner, Split(X), ALL).points
    near = int(np.argsort(np.linalg.norm(points - points[0], axis=1))[1])
    centres, labels = points[[0, near]], np.array([0, 1])
    radius = 2.0 * float(np.linalg.norm(centres[0] - centres[1]))
    model = Patched(inner, Memory(("a", "b"), centres, labels, np.full(2, radius), "features"))
    for row, label in ((0, 0), (near, 1)):
        assert model.outputs(X[[row]]).logits.argmax() == label
    assert model.memory.holding(centres * 0.6 + centres[::-1] * 0.4).tolist() == [0, 1]


def test_around_another_and_within_another() -> None:
    inner = Tempered(net(), 1.7)
    model, wrong = patched(inner, 20)
    again = Tempered(model, 0.5)
    assert (again.outputs(X).logits[wrong].argmax(axis=1) == Y[wrong]).all()
    assert len({m.fingerprint() for m in (inner, model, again, model.without(model.memory.ids[:1]))}) == 4
    assert model.describe()["patched"]["corrections"] == 20
    features = model.outputs(X[:5], features=True).features
    np.testing.assert_array_equal(features, inner.outputs(X[:5], features=True).features)


def test_arrays_hold_all_of_it() -> None:
    memory = patched(net(), 12)[0].memory
    again = Memory.of_arrays(memory.arrays())
    assert (again.ids, again.space) == (memory.ids, memory.space)
    for name in ("centres", "labels", "radii"):
        one, other = getattr(memory, name), getattr(again, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": ("a", "a")}, "stands twice"),
        ({"labels": np.array([0, 2])}, "class 2: the model has 2 outputs"),
        ({"radii": np.array([1.0, np.nan])}, "no number"),
        ({"radii": np.array([1.0, -1.0])}, "no number"),
    ],
)
def test_what_is_no_memory_is_refused(changes: dict[str, Any], message: str) -> None:
    known: dict[str, Any] = {
        "ids": ("a", "b"),
        "centres": np.zeros((2, 32), np.float32),
        "labels": np.array([0, 1]),
        "radii": np.ones(2),
        "space": "features",
    }
    with pytest.raises(BadInput, match=message):
        Patched(net(), Memory(**{**known, **changes}))


def test_corrections_of_another_model_are_refused() -> None:
    memory = patched(net(), 2)[0].memory
    with pytest.raises(BadInput, match="aren't found"):
        Patched(linear(), memory).outputs(X)
    with pytest.raises(BadInput, match="32 features, but this model has 20"):
        Patched(net(features="0"), memory).outputs(X)
    regression = as_model(LinearRegression().fit(X, X[:, 0]), "regression")
    with pytest.raises(BadInput, match="regression"):
        Patched(regression, memory)
