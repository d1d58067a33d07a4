"""Splits whose rows have several inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from uncork.data.carve import halve
from uncork.data.split import Split
from uncork.schema.errors import BadInput

IDS, REAL, Y = np.arange(20).reshape(10, 2), np.arange(10.0, dtype=np.float32), np.arange(10) % 3


class Items(Dataset):
    """((ids, real) by name, y) items."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int):
        return {"ids": torch.from_numpy(IDS[i]), "real": REAL[i]}, int(Y[i])


def given(kind: str, tmp_path) -> Split:
    if kind == "dataset":
        return Split(Items())
    if kind == "tensors":
        return Split({"ids": torch.from_numpy(IDS), "real": torch.from_numpy(REAL)}, Y)
    if kind == "memory map":
        np.save(tmp_path / "ids.npy", IDS)
        return Split({"ids": np.load(tmp_path / "ids.npy", mmap_mode="r"), "real": REAL}, Y)
    return Split({"ids": IDS, "real": REAL}, Y)


@pytest.mark.parametrize("kind", ["arrays", "tensors", "memory map", "dataset"])
def test_rows_are_taken_from_each_input(kind, tmp_path):
    split = given(kind, tmp_path)
    assert (split.kind, len(split)) == ("mapping", 10)
    np.testing.assert_array_equal(split.y, Y)
    for taken, rows in ((split.take(np.array([7, 2])), [7, 2]), (split.subset(np.arange(5, 10)).take([4, 0]), [9, 5])):
        assert list(taken) == ["ids", "real"]
        np.testing.assert_array_equal(taken["ids"], IDS[rows])
        np.testing.assert_array_equal(taken["real"], REAL[rows])
    batches = list(split.batches(4))
    assert [len(rows) for rows, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch["ids"] for _, batch in batches]), IDS)
    one, other = halve(split, 0)
    assert sorted([*one, *other]) == list(range(10))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({}, "x has no rows: the split is empty"),
        ({"ids": IDS, "real": REAL[:9]}, r"the arrays of x differ in their number of rows \(ids 10, real 9\)"),
        ({"ids": IDS, "text": ["a"] * 10}, r"x\['text'\] is a list holding str: a mapping holds arrays of numbers"),
        ({"ids": np.array([None] * 10)}, r"x\['ids'\] is of type ndarray: a mapping holds arrays of numbers"),
    ],
)
def test_inputs_that_do_not_fit(x, message):
    with pytest.raises(BadInput, match=message):
        Split(x)


def test_items_of_odd_shapes_are_named():
    class Odd(Items):
        def __getitem__(self, i: int):
            return {"ids": IDS[i, : 1 + (i != 3)]}, 0

    with pytest.raises(BadInput, match=r"row 2's 'ids' has shape \(2,\) but row 3's 'ids' has \(1,\)"):
        Split(Odd()).take(np.array([2, 3]))
