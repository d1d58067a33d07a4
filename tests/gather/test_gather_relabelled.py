"""Rows labelled anew: what fits the subject is put in train's order, and random rows are named to label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet
from scipy import stats
from torch import nn

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.gather.relabelled import ASKED, gather, settled
from uncork.schema.artifacts import Relabelled
from uncork.schema.errors import BadInput
from uncork.testing.gatherers import check_gatherer

NAMES = ("cat", "dog", "cow")
ROWS = list(range(10, 50))


def subject(**changes: Any) -> Subject:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 4)).astype(np.float32), np.arange(600) % 3
    cuts = {"train": slice(400), "validation": slice(400, 500), "test": slice(500, 600)}
    splits = {name: Split(x[at], y[at]) for name, at in cuts.items()}
    splits["train"] = Split(x[:400], y[:400], ids=[f"r{i}" for i in range(400)])
    return Subject(nn.Linear(4, 3), **{"classes": NAMES, **splits, **changes})


@pytest.fixture
def context(context_of: Callable[..., Context]) -> Context:
    return context_of(subject())


def test_a_mapping_or_a_table_by_name_or_index(context: Context, tmp_path: Path) -> None:
    ids = [f"r{i}" for i in reversed(ROWS)]
    y = [i % 3 for i in reversed(ROWS)]
    table = pyarrow.table({"beside": y, "label": [NAMES[c] for c in y], "id": ids})
    csv.write_csv(table, tmp_path / "anew.csv")
    parquet.write_table(table.set_column(1, "label", pyarrow.array(y)), tmp_path / "anew.parquet")
    for given in (
        dict(zip(ids, y, strict=True)),
        {id: NAMES[c] for id, c in zip(ids, y, strict=True)},
        tmp_path / "anew.csv",
        str(tmp_path / "anew.parquet"),
    ):
        rows, labels = settled(given, context)
        assert rows.tolist() == ROWS
        assert labels.tolist() == [i % 3 for i in ROWS]


def test_positions_are_the_ids_where_there_are_none(context_of: Callable[..., Context]) -> None:
    plain = context_of(subject(train=Split(np.zeros((60, 4), np.float32), np.arange(60) % 3)))
    assert settled(dict.fromkeys(ROWS, 2), plain)[0].tolist() == ROWS


def right(**changes: Any) -> dict[str, Any]:
    return {**{f"r{i}": i % 3 for i in ROWS}, **changes}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (right(r999=0), "relabelled holds the id 'r999', which is no id of train: ids look like 'r0'"),
        (right(r10=3), "relabelled: label holds 3 in row 0, but the classes are 'cat', 'dog', 'cow'"),
        ({f"r{i}": "horse" for i in ROWS}, "holds 'horse' in row 0, but the classes are 'cat'"),
        ({f"r{i}": 0 for i in range(29)}, "holds 29 rows: label 30 or more anew, drawn at random, better 150"),
        ({}, "holds 0 rows"),
        (right(r10="cat"), "which fits neither"),
        (right(r10=None), "which fits neither"),
        (right(r10=0.5), "which is no class|but the classes are"),
        (["r1"], "is of type list: give {id: label}, or the path of a CSV or Parquet table"),
        ("nowhere.csv", "nowhere.csv: there is no such file"),
    ],
)
def test_what_does_not_fit(given: Any, why: str, context: Context) -> None:
    with pytest.raises(BadInput, match=why):
        settled(given, context)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": ["r1", "r1"], "label": [0, 1]}, "holds the id 'r1', twice: give one label for each row"),
        ({"id": ["r1"], "class": [0]}, "has no column 'label': it has id, class"),
        ({"row": ["r1"], "label": [0]}, "has no column 'id'"),
        ({"id": ["r1", "r2"], "label": [0, None]}, "column 'label' has no value in row 1"),
    ],
)
def test_tables_that_do_not_fit(columns: dict[str, Any], why: str, context: Context, tmp_path: Path) -> None:
    csv.write_csv(pyarrow.table(columns), tmp_path / "anew.csv")
    with pytest.raises(BadInput, match=why):
        settled(tmp_path / "anew.csv", context)


def test_subjects_that_do_not_fit(context_of: Callable[..., Context]) -> None:
    with pytest.raises(BadInput, match="no train split was given"):
        settled(right(), context_of(subject(train=None)))
    train = subject().train
    assert train is not None
    twice = Split(train.take(np.arange(400)), train.y, ids=["r10", "r10", *(f"r{i}" for i in range(2, 400))])
    with pytest.raises(BadInput, match=r"the id 'r10', which several rows of train have"):
        settled(right(), context_of(subject(train=twice)))
    x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    splits = {name: Split(x, x[:, 0]) for name in ("train", "validation", "test")}
    regression = context_of(Subject(nn.Linear(4, 1), **splits, metric="rmse"))
    with pytest.raises(BadInput, match="this is a regression"):
        settled(right(), regression)
    assert gather.gather(Relabelled(), regression).asked == ()


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, Relabelled(), context)
    check_gatherer(gather, Relabelled(), dataclasses.replace(context, relabelled=settled(right(), context)))


def test_rows_asked_for_are_random(context_of: Callable[..., Context]) -> None:
    """Each row as likely as any other: 40 seeds, chi-squared over blocks of 40 rows; fails by chance 1 in 1,000 times
    (fixed seeds)."""
    counts = np.zeros(400)
    for seed in range(40):
        asked = gather.gather(Relabelled(), context_of(subject(), seed=seed)).asked
        assert len(set(asked)) == ASKED
        counts[[int(id[1:]) for id in asked]] += 1
    blocks = counts.reshape(10, 40).sum(axis=1)
    assert stats.chisquare(blocks).pvalue > 1e-3
    again = [gather.gather(Relabelled(), context_of(subject(), seed=1)).asked for _ in range(2)]
    assert again[0] == again[1]
    few = Split(np.zeros((60, 4), np.float32), np.arange(60) % 3)
    assert sorted(map(int, gather.gather(Relabelled(), context_of(subject(train=few))).asked)) == list(range(60))
