"""The page of patch: on a small net in place of ResNet-20, every table is filled and what is taken back is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from benchmarks import patch as benchmark
from uncork import Recipe, Split, Subject


def small() -> Subject:
    """A linear net on three clouds that overlap."""
    rng = np.random.default_rng(0)
    y = np.arange(1500) % 3
    x = (rng.normal(size=(1500, 8)) + 1.5 * np.eye(3, 8)[y]).astype(np.float32)
    model = Recipe(lambda: nn.Linear(8, 3), epochs=5, lr=0.05).fit(Split(x[:300], y[:300]), seed=0)
    return Subject(model, test=Split(x[300:], y[300:]), classes=("a", "b", "c"))


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cifar10_resnet20", SimpleNamespace(subject=small))
    text = benchmark.page(tmp_path, (3, 12), 1)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[1:3]] == ["| 3", "| 12"]
    assert all(len(line.split(" | ")) == 8 for line in lines[:3])
    assert lines[2].split(" | ")[1].startswith("100 (")
    assert len(lines) == 3 + 1 + len(benchmark.SHARES)
    assert "bit for bit: yes" in text
