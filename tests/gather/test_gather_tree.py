"""The cuts of train: partitions, nested, stratified, with what belongs together on one side."""

from __future__ import annotations

import numpy as np
import pytest

from uncork import Split
from uncork.gather._tree import balanced, eighths, rows_of, together


def cut(y: np.ndarray, clusters: np.ndarray | None = None, permutation: int = 0) -> np.ndarray:
    return eighths(y, np.arange(len(y)) if clusters is None else clusters, seed=0, permutation=permutation)


@pytest.mark.parametrize("n", [8, 61, 800])
def test_parts_make_up_train_and_are_nested(n: int) -> None:
    part = cut(np.arange(n) % 3)
    for size in (1, 2, 4, 8):
        rows = [rows_of(part, size, p) for p in range(size)]
        assert sorted(np.concatenate(rows)) == list(range(n))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1 or size < 8
    for p in range(8):
        assert set(rows_of(part, 8, p)) <= set(rows_of(part, 4, p // 2)) <= set(rows_of(part, 2, p // 4))


def test_every_part_has_its_share_of_every_class() -> None:
    y = np.random.default_rng(0).choice(4, size=1000, p=[0.6, 0.3, 0.08, 0.02])
    part = cut(y)
    for c in range(4):
        counts = np.bincount(part[y == c], minlength=8)
        assert counts.max() - counts.min() <= 1


def test_a_regressions_targets_are_spread_evenly() -> None:
    y = np.random.default_rng(0).lognormal(size=800)
    part = cut(y)
    tenth = np.digitize(y, np.quantile(y, np.linspace(0.1, 0.9, 9)))
    for t in range(10):
        counts = np.bincount(part[tenth == t], minlength=8)
        assert counts.max() - counts.min() <= 1


def test_permutations_differ_and_are_the_same_again() -> None:
    y = np.zeros(200, np.int64)
    assert (cut(y) == cut(y)).all()
    same_half = (cut(y) // 4 == cut(y, permutation=1) // 4).mean()
    assert 0.3 < same_half < 0.7  # of independent cuts .5, s.d. .035


def test_groups_and_copies_stay_together_and_parts_stay_even() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 900)
    x = rng.normal(size=(900, 3))
    x[1] = x[0]  # a copy that links two groups
    groups[0], groups[1] = 3, 7
    which = together(Split(x, np.arange(900) % 2, groups=groups))
    for g in range(60):
        assert len(np.unique(which[groups == g])) == 1
    assert len(np.unique(which[(groups == 3) | (groups == 7)])) == 1
    assert len(np.unique(which)) == 59
    part = cut(np.arange(900) % 2, which)
    for g in range(60):
        assert len(np.unique(part[groups == g])) == 1
    sizes = np.bincount(part, minlength=8)
    assert sizes.max() - sizes.min() <= np.bincount(which).max()


def test_without_groups_only_exact_copies_stay_together() -> None:
    x = np.arange(20.0).reshape(-1, 1)
    x[5] = x[2]
    which = together(Split(x, np.zeros(20, np.int64)))
    assert which[5] == which[2]
    assert len(np.unique(which)) == 19


def test_balanced_repeats_rows_of_rarer_classes_alone() -> None:
    y = np.r_[np.zeros(10, int), np.ones(3, int), 2]
    rows = balanced(np.arange(14), y, np.random.default_rng(0))
    assert np.bincount(y[rows]).tolist() == [10, 10, 10]
    times = np.bincount(rows)
    assert (times[:10] == 1).all()
    assert sorted(times[10:13]) == [3, 3, 4]
    assert times[13] == 10
