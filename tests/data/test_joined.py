"""Joined splits give the rows that their parts would, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from uncork import BadInput, Split
from uncork.data.joined import joined


def parts_of(kind: str) -> tuple[Any, Any, Any]:
    """(first 5 rows, 4 more, all 9)."""
    numbers = np.arange(18.0).reshape(9, 2)
    whole: Any = {
        "array": numbers,
        "text": [f"row {i}" for i in range(9)],
        "frame": pd.DataFrame(numbers, columns=["a", "b"]),
        "dataset": [(row, 0) for row in numbers],
    }[kind]
    if kind == "dataset":
        return Listed(whole[:5]), Listed(whole[5:]), numbers
    return whole[:5], whole[5:], whole


class Listed:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


@pytest.mark.parametrize("kind", ["array", "text", "frame", "dataset"])
@pytest.mark.parametrize("rows", [[8, 0, 5, 4, 4, 1], [2, 1], [7, 6], list(range(9))])
def test_rows_come_as_of_the_whole(kind: str, rows: list[int]) -> None:
    first, second, whole = parts_of(kind)
    split = joined(Split(first, np.zeros(5, int)), Split(second), np.ones(4, int))
    found = split.take(np.array(rows))
    if kind == "text":
        assert found == [whole[i] for i in rows]
    else:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(whole if kind != "frame" else whole.values)[rows])
    assert split.kind == kind
    assert split.y.tolist() == [0] * 5 + [1] * 4
    assert len(split.subset(np.array([3, 8]))) == 2


def test_ids_are_kept_and_new_ones_are_new() -> None:
    x = np.zeros((10, 1))
    view = Split(x, np.zeros(10, int)).subset(np.array([9, 2, 4]))
    split = joined(view, Split(x[:2]), np.ones(2, int))
    assert split.ids.tolist() == [9, 2, 4, 10, 11]
    named = joined(
        Split(x[:2], [0, 1], ids=["p", "q"], groups=["a", "a"]), Split(x[:2], ids=["p", "r"]), np.ones(2, int)
    )
    assert named.ids[:2].tolist() == ["p", "q"]
    assert len(set(named.ids.tolist())) == 4
    assert named.groups is not None
    assert len(set(named.groups.tolist())) == 3


@pytest.mark.parametrize(("names", "more"), [(["A", "B", "B"], ["A", "C"]), ([1, 2, 2], [1, 7])])
def test_a_group_of_both_stays_one(names: list[Any], more: list[Any]) -> None:
    x = np.zeros((3, 1))
    split = joined(Split(x, [0, 1, 1], groups=names), Split(x[:2], groups=more), np.ones(2, int))
    assert split.groups is not None
    assert split.groups.tolist() == [*names, *more]
    # Without groups of their own they join none.
    alone = joined(Split(x, [0, 1, 1], groups=names), Split(x[:2]), np.ones(2, int)).groups
    assert alone is not None
    assert alone[:3].tolist() == names
    assert len(set(alone.tolist())) == 4


def test_times_stay_where_both_have_them() -> None:
    x = np.zeros((2, 1))
    earlier, later = Split(x, [0, 1], times=[1, 2]), Split(x, times=[4, 3])
    times = joined(earlier, later, np.ones(2, int)).times
    assert times is not None
    assert times.tolist() == [1, 2, 4, 3]
    assert joined(earlier, Split(x), np.ones(2, int)).times is None


def test_rows_of_two_kinds_are_refused() -> None:
    with pytest.raises(BadInput, match="rows that are array and rows that are text"):
        joined(Split(np.zeros((2, 1)), [0, 1]), Split(["a", "b"]), np.ones(2, int))
