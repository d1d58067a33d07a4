"""Mistakes patched and tried again: a planted cluster, scattered noise, and near copies of every kind of row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from uncork import Predictions, Split
from uncork.data.near import COPIES, near_copies
from uncork.gather._contract import Context
from uncork.gather.patched import gather
from uncork.schema.errors import Unavailable
from uncork.schema.patches import Patches, PatchesData
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]


def sign() -> nn.Module:
    """Decides by the sign of the first column; its features are the rows."""
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-1.0, 0], [1, 0]]))
        net.bias.zero_()
    return net


def clusters(share: float, n: int = 2000, seed: int = 0) -> Split:
    """Two clouds that the sign tells apart, and a third, a `share` of the rows, which it takes for the second."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=n, p=[0.5, 0.5 - share, share])
    places = np.array([[-5, 0], [5, 0], [5, 20]])
    return Split((places[kind] + 0.5 * rng.normal(size=(n, 2))).astype(np.float32), (kind == 1).astype(int))


def scattered(wrong: float, n: int = 2000, seed: int = 0) -> Split:
    """One dense cloud whose labels are the sign but for noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    return Split(x, (x[:, 0] > 0) ^ (rng.random(n) < wrong))


def gathered(context_of: ContextOf, validation: Split, **request: Any) -> PatchesData:
    context = context_of(model=sign(), validation=validation, test=clusters(0.1, seed=9))
    data: PatchesData = gather.gather(Patches(**request), context)
    return data


def test_one_correction_mends_a_cluster(context_of: ContextOf) -> None:
    data = gathered(context_of, clusters(0.1))
    right = data.before == data.y
    assert 60 < (~right).sum() < 140
    assert data.counts.tolist() == [1, 3, 10, 30, int(data.counts[-1])]
    for after in data.after:  # the first alone mends all of it, and nothing else changes
        assert (after == data.y).all()
    assert data.near.all()
    assert not data.near_before.any()
    assert data.inseparable == 0


def test_scattered_mistakes_are_mended_by_themselves_alone(context_of: ContextOf) -> None:
    """In a dense cloud the nearest right row is closer than a near copy. Of 900 right rows one or fewer is broken on
    average by all corrections together, eight or more with odds below 1e-3 (fixed seed)."""
    data = gathered(context_of, scattered(0.1), most=50)
    assert len(data.counted) == 50
    mended, right = data.mends[-1], data.before == data.y
    assert mended.sum() == 50 - data.inseparable >= 47
    assert data.near[-1].mean() < 0.3
    assert (right & (data.after[-1] != data.y)).sum() < 8


def test_what_is_counted(context_of: ContextOf) -> None:
    few, all_ = gathered(context_of, scattered(0.1), most=20), gathered(context_of, scattered(0.1))
    assert few.counts.tolist() == [1, 3, 10, 20]
    assert few.mends.shape == (4, 20)
    assert few.mends[0].sum() < 5  # the first alone mends few others
    np.testing.assert_array_equal(few.mends[0, :1], all_.mends[0, :1])  # the first are the first of more
    np.testing.assert_array_equal(few.after[0], all_.after[0])
    # So many rows were looked at that 20 mistakes were met, a tenth of them.
    assert 120 < len(few.looked_at) < 320
    assert len(set(few.looked_at)) == len(few.looked_at)
    assert not np.isin(few.looked_at, few.clusters).any()
    assert len(all_.counted) == 100 or len(all_.looked_at) + len(all_.y) == 2000


def test_rows_of_a_group_stay_on_one_side(context_of: ContextOf) -> None:
    given = scattered(0.1)
    grouped = Split(given.take(np.arange(2000)), given.y, groups=np.arange(2000) // 4)
    data = gathered(context_of, grouped)
    assert not np.isin(data.looked_at, data.clusters).any()
    assert max(np.bincount(data.clusters)) == 4


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, Patches(most=20), context)


def test_what_can_not_be_patched_has_a_reason(context_of: ContextOf, context: Context) -> None:
    with pytest.raises(Unavailable, match=r"all \d+ rows of half of validation right"):
        gathered(context_of, scattered(0.0))
    rows = Split(np.full((50, 2), 0.5), np.arange(50) % 2)
    with pytest.raises(Unavailable, match="only predictions"):
        gather.gather(Patches(), context_of(model=Predictions(), validation=rows, test=rows.subset(np.arange(40))))
    x = np.arange(40.0)[:, None]
    numbers = {name: Split(x, x[:, 0] + 0.5 + i) for i, name in enumerate(("validation", "test"))}
    with pytest.raises(Unavailable, match="regression"):
        gather.gather(Patches(), context_of(model=LinearRegression().fit(x, x[:, 0]), metric="rmse", **numbers))
    one = Split(x[:2], np.array([0, 1]), groups=np.zeros(2, int))
    small = dataclasses.replace(context, subject=context.subject.replace(validation=one))
    with pytest.raises(Unavailable, match="too few to halve"):
        gather.gather(Patches(), small)


# Near copies.


def near(x: Any, rows: Any = None) -> Any:
    split = Split(x)
    chosen = np.arange(len(split)) if rows is None else rows
    return near_copies(split, chosen, np.random.default_rng(0))


def test_noise_is_a_twentieth_of_each_columns_spread() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3)) * [1, 100, 0]
    x[:, 2] = rng.integers(2, size=4000)  # a code, which is left as it is
    found = near(x)
    moved = np.std([copy - x for copy in found.copies], axis=(0, 1))
    np.testing.assert_allclose(moved, [0.05, 5.0, 0], rtol=0.1)
    assert found.changed.shape == (4000, COPIES)
    assert found.changed.all()
    x[0, 0] = np.nan
    assert np.isnan(near(x).copies[0][0, 0])


def test_images_are_moved_by_a_pixel_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, size=(20, 8, 8, 3), dtype=np.uint8)
    found = near(x)
    for copy in found.copies:
        assert copy.dtype == np.uint8
        assert copy.shape == x.shape
    noisy, moved = found.copies[0].astype(int), found.copies[1]
    assert 2 < np.abs(noisy - x).mean() < 4  # of a s.d. of 74
    np.testing.assert_array_equal(moved[:, :-1], x[:, 1:])
    np.testing.assert_array_equal(moved[:, -1], x[:, -1])
    np.testing.assert_array_equal(found.copies[3][:, :, 1:], x[:, :, :-1])
    channels_first = near(np.ascontiguousarray(np.moveaxis(x, 3, 1)))
    np.testing.assert_array_equal(np.moveaxis(channels_first.copies[1], 1, 3), moved)


def test_texts_lose_a_word_and_codes_stay() -> None:
    found = near(["one two three", "alone"])
    assert all(len(copy[0].split()) == 2 for copy in found.copies)
    assert found.changed.tolist() == [[True] * COPIES, [False] * COPIES]
    assert not near(np.array([[0, 1], [1, 0], [1, 1]])).changed.any()
    tokens = np.random.default_rng(0).integers(0, 50, size=(40, 6))  # another number would be another word, or none
    assert not near(tokens).changed.any()
    assert near(tokens.astype(np.uint8)).changed.mean() > 0.9


def test_tables_keep_their_kind() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(40, 10, 500), "job": ["a", "b"] * 250, "count": np.arange(500)})
    found = near(frame, np.arange(7))
    for copy in found.copies:
        assert list(copy.columns) == ["age", "job", "count"]
        assert copy[["job", "count"]].equals(frame[["job", "count"]].iloc[:7])
    assert 0.2 < np.std([copy["age"] - frame["age"].iloc[:7] for copy in found.copies]) < 0.9
    assert found.changed.all()
