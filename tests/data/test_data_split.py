from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from uncork.data.split import Split
from uncork.schema.errors import BadInput

X = np.arange(40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10) % 3


class Items(Dataset):
    """(x, y) items; `reads` counts how often a row is made."""

    def __init__(self, with_y: bool = True) -> None:
        self.with_y, self.reads = with_y, 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int):
        self.reads += 1
        return (torch.from_numpy(X[i]), int(Y[i])) if self.with_y else X[i]


class Known(Items):
    targets = Y.tolist()


class Lying(Items):
    """Labels changed on the way out, as torchvision's target_transform does."""

    targets = (Y + 1).tolist()


def test_importing_costs_no_heavy_library():
    code = "import sys, uncork.data.split; print({'torch', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (X, "array"),
        (torch.from_numpy(X), "array"),
        (Items(), "dataset"),
        (Items(False), "dataset"),
        (TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), "dataset"),
        (X[::-1][::-1], "array"),
    ],
)
def test_take_gives_the_rows_in_order_as_numpy(x, kind):
    split = Split(x)
    assert split.kind == kind
    rows = np.array([7, 0, 3, 3])
    batch = split.take(rows)
    assert isinstance(batch, np.ndarray)
    np.testing.assert_array_equal(batch, X[rows])
    batch += 1  # a batch is the caller's own
    np.testing.assert_array_equal(split.take(rows), X[rows])


def test_text_and_frames():
    words = [f"w{i}" for i in range(10)]
    for x in (words, tuple(words), np.array(words), pd.Series(words)):
        split = Split(x, Y)
        assert split.kind == "text"
        assert split.take([9, 1]) == ["w9", "w1"]
    frame = pd.DataFrame({"a": X[:, 0], "b": words}, index=range(100, 110))
    split = Split(frame, frame["b"])
    assert split.kind == "frame"
    pd.testing.assert_frame_equal(split.take([4, 2]), frame.iloc[[4, 2]])
    assert split.y.tolist() == words


@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_batches_cover_all_rows_in_order(size):
    got = list(Split(X).batches(size))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in got]), np.arange(10))
    np.testing.assert_array_equal(np.concatenate([batch for _, batch in got]), X)
    assert {len(rows) for rows, _ in got[:-1]} <= {size}


def test_subset_is_a_view_that_labels_ids_and_groups_follow():
    split = Split(X, Y, ids=[f"r{i}" for i in range(10)], groups=Y)
    half = split.subset(Y == 1)
    again = half.subset([2, 0])
    assert again.ids.tolist() == ["r7", "r1"]
    assert again.y.tolist() == again.groups.tolist() == [1, 1]
    np.testing.assert_array_equal(again.take([0, 1]), X[[7, 1]])
    np.testing.assert_array_equal(np.concatenate([b for _, b in half.batches(2)]), X[Y == 1])
    assert len(split) == 10


def test_ids_are_positions_where_none_are_given():
    split = Split(X)
    assert not split.has_ids
    assert split.subset([8, 5]).ids.tolist() == [8, 5]
    assert Split(X, ids=range(10)).has_ids


def test_with_y_leaves_the_original_alone():
    split = Split(X, Y)
    assert split.with_y(np.zeros(10, int)).y.sum() == 0
    assert split.y is not None
    np.testing.assert_array_equal(split.y, Y)
    np.testing.assert_array_equal(Split(Items()).subset([4, 5]).with_y([9, 8]).y, [9, 8])


def test_labels_of_datasets_come_from_targets_where_these_agree():
    known, items, lying = Known(), Items(), Lying()
    np.testing.assert_array_equal(Split(known).y, Y)
    assert known.reads == 1  # the first item, to see whether targets can be trusted
    split = Split(items)
    assert items.reads == 0
    np.testing.assert_array_equal(split.subset([3, 2]).y, Y[[3, 2]])
    reads = items.reads
    np.testing.assert_array_equal(split.y, Y)
    assert items.reads == reads  # one pass, kept
    np.testing.assert_array_equal(Split(lying).y, Y)
    assert Split(Items(False)).y is None
    np.testing.assert_array_equal(Split(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))).y, Y)
    np.testing.assert_array_equal(Split(Subset(known, [5, 1])).y, Y[[5, 1]])


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (torch.arange(3), [0, 1, 2]),
        ([True, False, True], [1, 0, 1]),
        (pd.Series(["a", "b", "a"]), ["a", "b", "a"]),
        (np.array([[1.5], [2], [3]]), [1.5, 2, 3]),
        (np.array([1, 2.5, 3], object), [1, 2.5, 3]),
    ],
)
def test_labels_of_every_form(y, expected):
    assert Split(X[:3], y).y.tolist() == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Split(X, Y[:9]), "Split: x has 10 rows but y has 9: give one y for each row"),
        (lambda: Split(X, Y, ids=[1]), "x has 10 rows but ids has 1"),
        (lambda: Split(X, Y, groups=[1]), "x has 10 rows but groups has 1"),
        (lambda: Split(X[:0]), "the split is empty"),
        (lambda: Split([]), "the split is empty"),
        (lambda: Split(X).subset(np.zeros(10, bool)), "the split is empty"),
        (lambda: Split(X).subset(np.ones(9, bool)), "the mask has shape (9,) but there are 10 rows"),
        (lambda: Split(X).take([10]), "row 10 was asked for, but there are 10 rows (0–9)"),
        (lambda: Split(X).take([-1]), "row -1 was asked for"),
        (lambda: Split(X, np.eye(10)), "y has shape (10, 10): give one value a row"),
        (lambda: Split(X, [*Y[:9], np.nan]), "y is nan in row 9"),
        (lambda: Split(X, np.array(["a"] * 9 + [None], object)), "y holds None in row 9"),
        (lambda: Split(X, np.zeros(10, complex)), "y holds complex128"),
        (lambda: Split(np.array([object()] * 3)), "an array of object"),
        (lambda: Split({"a": 1}), "x['a'] is of type int: a mapping holds arrays of numbers"),
        (lambda: Split([1, 2]), "x is a list holding int: give a numpy array"),
        (lambda: Split(DataLoader(Items())), "of a DataLoader give its .dataset"),
    ],
)
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(BadInput) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([np.zeros(2), np.zeros(3)], "row 0 has shape (2,) but row 1 has (3,)"),
        ([{"x": 1}, {"x": 2}], "items are dicts: let it return (x, y) or x"),
        ([(1, 2, 3), (1, 2, 3)], "items have 3 parts"),
    ],
)
def test_datasets_that_do_not_fit(items, message):
    class Odd(Dataset):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, i: int):
            return items[i]

    with pytest.raises(BadInput) as error:
        Split(Odd()).take([0, 1])
    assert message in str(error.value)


@pytest.mark.parametrize(
    "view", [lambda m: m, lambda m: m[5:], lambda m: np.asarray(m)[2:9], lambda m: m[::2], lambda m: m[:, 1:]]
)
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_and_views_of_them_read_true(tmp_path, view, mode):
    np.save(tmp_path / "x.npy", np.arange(300, dtype=np.int16).reshape(50, 3, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    if mode != "r":
        mapped[6] = -7  # changes count, in the file or in memory
    part = view(mapped)
    split = Split(part)
    rows = np.random.default_rng(0).integers(0, len(part), 20)
    np.testing.assert_array_equal(split.take(rows), part[rows])
    np.testing.assert_array_equal(np.concatenate([b for _, b in split.batches(7)]), part)


def test_a_memory_map_cut_short_is_named(tmp_path):
    np.ones((50, 3)).tofile(tmp_path / "x.bin")
    split = Split(np.memmap(tmp_path / "x.bin", dtype=float, mode="r", shape=(50, 3)))
    with open(tmp_path / "x.bin", "r+b") as file:
        file.truncate(240)
    with pytest.raises(BadInput, match="ends before row 49"):
        split.take([49])


def test_streaming_a_memory_map_takes_no_memory(tmp_path):
    """256 MB, in order and at random, in less than 50 MB."""
    code = f"""
import resource, sys
import numpy as np
from uncork.data.split import Split
mapped = np.memmap({str(tmp_path / "big.bin")!r}, dtype=np.float32, mode="w+", shape=(1_000_000, 64))
del mapped
split = Split(np.memmap({str(tmp_path / "big.bin")!r}, dtype=np.float32, mode="r", shape=(1_000_000, 64)))
def peak():
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value / (2**20 if sys.platform == "darwin" else 2**10)
split.take([0])
before = peak()
rows = sum(len(batch) for _, batch in split.batches(8192))
rng = np.random.default_rng(0)
for _ in range(10):
    split.take(rng.integers(0, len(split), 2048))
print(rows, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows, growth = done.stdout.split()
    assert int(rows) == 1_000_000
    assert float(growth) < 50
