from __future__ import annotations

import numpy as np
import pytest

from uncork.data.carve import folds, halve
from uncork.data.labels import class_indices
from uncork.data.split import Split
from uncork.schema.errors import BadInput

N = 2000
X = np.zeros((N, 1))


def test_halves_part_the_rows_evenly():
    a, b = halve(Split(X), seed=3)
    assert sorted([*a, *b]) == list(range(N))
    assert abs(len(a) - N / 2) < 4.5 * np.sqrt(N) / 2  # 4.5 σ of a fair coin: fails with chance 7e-6
    np.testing.assert_array_equal(a, halve(Split(X), seed=3)[0])
    assert not np.array_equal(a, halve(Split(X), seed=4)[0])


@pytest.mark.parametrize("ids", [np.arange(N), np.array([f"row-{i}" for i in range(N)])])
def test_halves_do_not_depend_on_the_order_or_company_of_rows(ids):
    first = set(ids[halve(Split(X, ids=ids), seed=0)[0]].tolist())
    order = np.random.default_rng(0).permutation(N)[: N // 3]
    shuffled = Split(X, ids=ids).subset(order)
    assert set(shuffled.ids[halve(shuffled, seed=0)[0]].tolist()) == first & set(ids[order].tolist())


def test_halves_keep_groups_together():
    groups = np.random.default_rng(0).integers(0, 50, N)
    a, b = halve(Split(X, groups=groups), seed=0)
    assert not set(groups[a]) & set(groups[b])
    with pytest.raises(BadInput, match="too few to halve"):
        halve(Split(X, groups=np.zeros(N, int)), seed=0)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("stratify", [False, True])
def test_folds(grouped, stratify):
    rng = np.random.default_rng(0)
    y = (rng.random(N) < 0.1).astype(int)
    groups = rng.integers(0, 100, N) if grouped else None
    fold = folds(Split(X, y, groups=groups), 5, seed=0, stratify=stratify)
    assert set(fold) == set(range(5))
    if grouped:
        assert all(len(set(fold[groups == g])) == 1 for g in set(groups))
    else:
        assert np.ptp(np.bincount(fold)) <= 1
    if stratify:
        counts = np.bincount(fold[y == 1])
        assert np.ptp(counts) <= (12 if grouped else 1)
    np.testing.assert_array_equal(fold, folds(Split(X, y, groups=groups), 5, seed=0, stratify=stratify))
    assert not np.array_equal(fold, folds(Split(X, y, groups=groups), 5, seed=1, stratify=stratify))


def test_folds_of_few_rows():
    with pytest.raises(BadInput, match="3 rows can't be cut into 5 folds"):
        folds(Split(X[:3]), 5, 0, stratify=False)
    with pytest.raises(BadInput, match="2 groups can't be cut into 5 folds"):
        folds(Split(X[:9], groups=np.arange(9) % 2), 5, 0, stratify=False)
    assert set(folds(Split(X[:6], np.arange(6)), 5, 0, stratify=True)) == set(range(5))


@pytest.mark.parametrize(
    ("y", "settings", "expected"),
    [
        ([3, 1, 2], {"classes": ["1", "2", "3"]}, [2, 0, 1]),
        ([0, 1, 2], {"classes": ["1", "2", "3"]}, [0, 1, 2]),
        (["b", "a"], {}, [1, 0]),
        (["b", "a"], {"classes": ["b", "a"]}, [0, 1]),
        ([0.0, 2.0], {"n_outputs": 3}, [0, 2]),
    ],
)
def test_class_indices(y, settings, expected):
    assert class_indices(np.array(y), **settings).tolist() == expected


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (
            [0, 10],
            {"n_outputs": 10},
            "train.y holds class 10, but the model has 10 outputs (0–9): check the labels' offset",
        ),
        ([0, -1], {"n_outputs": 10}, "train.y holds class -1"),
        ([0.5, 1], {"n_outputs": 3}, "train.y holds 0.5 in row 0, which is no class"),
        (["a", "c"], {"classes": ["a", "b"]}, "train.y holds 'c' in row 1, but the classes are 'a', 'b'"),
        ([0, 2], {"classes": ["a", "b"]}, "train.y holds 2 in row 1"),
    ],
)
def test_class_indices_errors(y, settings, message):
    with pytest.raises(BadInput) as error:
        class_indices(np.array(y), place="train.y", **settings)
    assert message in str(error.value)


def test_rows_with_times_are_halved_by_time() -> None:
    times = np.array([5, 1, 4, 2, 3, 6])
    earlier, later = halve(Split(np.zeros((6, 2)), times=times), seed=0)
    assert set(times[earlier]) == {1, 2, 3}
    assert set(times[later]) == {4, 5, 6}


def test_dates_halve_too_and_rows_of_one_time_or_group_stay_together() -> None:
    days = np.array(["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-02"], "datetime64[D]")
    earlier, later = halve(Split(np.zeros((4, 2)), times=days), seed=0)
    assert (earlier.tolist(), later.tolist()) == ([0], [1, 2, 3])
    groups = ["a", "b", "b", "a"]
    earlier, later = halve(Split(np.zeros((4, 2)), times=[1, 2, 3, 9], groups=groups), seed=0)
    assert (earlier.tolist(), later.tolist()) == ([1, 2], [0, 3])


def test_times_that_tell_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="all of one time"):
        halve(Split(np.zeros((4, 2)), times=[7, 7, 7, 7]), seed=0)
    with pytest.raises(BadInput, match="numbers or dates"):
        Split(np.zeros((2, 2)), times=["monday", "tuesday"])
    with pytest.raises(BadInput, match="no date in row 1"):
        Split(np.zeros((2, 2)), times=np.array(["2026-01-01", "NaT"], "datetime64[D]"))
