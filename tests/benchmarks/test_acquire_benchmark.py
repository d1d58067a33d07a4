"""The page of acquire: a line for each data set and size, with what is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import acquire
from uncork.schema.finding import Estimate


def test_a_line_of_little_data() -> None:
    """Ten classes apart, a few steps: as many cells as the table has columns."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 10
    x = (rng.normal(size=(400, 64)) + 3 * np.eye(10, 64)[y]).astype(np.float32)
    cells = [cell.strip() for cell in acquire.line("blobs", x, y, 200, steps=1_000).strip("|").split("|")]
    assert cells[:2] == ["blobs", "200"]
    assert len(cells) == 6
    assert cells[5] in ("random", "margin", "typical", "badge")


def test_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Gains are shown with their intervals and a minus sign, and the whole page is written."""
    gain = Estimate(-2.0, -4.5, 0.5, "errors per 1,000", 700, "t", 1.0)
    monkeypatch.setattr(acquire, "simulated", lambda context: dict.fromkeys(("margin", "typical", "badge"), gain))
    monkeypatch.setattr(acquire, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["acquire.py"])
    acquire.main()
    lines = (tmp_path / "acquire.md").read_text().splitlines()
    assert sum(line.startswith("| digits") for line in lines) == 2 * len(acquire.ROWS)
    assert lines[-1] == "| digits, labels by chance | 800 " + 3 * "| −2.0 (−4.5 to 0.5) " + "| random |"
