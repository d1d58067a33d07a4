"""The page of transfer: its parts stand in it, splits don't overlap, and labels are counted on a small train."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import transfer
from uncork.schema.finding import Estimate


def test_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {
        "transfer": lambda: {"transfer": "FIRST", "candidates": "SECOND"},
        "unlabelled": lambda: {"unlabelled": "THIRD"},
        "labels": lambda: {"labels": "FOURTH"},
    }
    monkeypatch.setattr(transfer, "PARTS", made)
    monkeypatch.setattr(transfer, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["transfer.py"])
    transfer.main()
    page = (tmp_path / "transfer.md").read_text()
    assert [word for word in page.split() if word in ("FIRST", "SECOND", "THIRD", "FOURTH")] == [
        "FIRST",
        "SECOND",
        "THIRD",
        "FOURTH",
    ]


def test_splits_are_cut_one_after_the_other() -> None:
    splits = transfer.cut(np.arange(10.0)[:, None], np.arange(10) % 2, {"train": 4, "validation": 3, "test": 3})
    assert [s.take(np.arange(len(s)))[:, 0].tolist() for s in splits.values()] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    texts = transfer.cut(list("abcd"), np.arange(4) % 2, {"train": 2, "test": 2})
    assert texts["test"].take(np.arange(2)) == ["c", "d"]


def test_an_open_end_is_said_to_be() -> None:
    assert transfer.times(Estimate(1.5, 1.2, None, "x", 5, "t")) == "1.50 (1.20 to open)"
    assert transfer.times(Estimate(None, None, None, "x", 5, "t")) == "beyond (open to open)"
    assert transfer.bag(["a word", "another one"]).shape == (2, transfer.WORDS)
