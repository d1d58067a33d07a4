"""The page about texts: what is computed from times, and the ways beside one another on real texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import text as module
from uncork.schema.finding import Estimate


def test_ratios_and_figures() -> None:
    seconds = {"naive": [8.0, 12.0], "audit": [4.0, 4.0], "sorted": [2.0, 6.0]}
    about = {"n": 2000, "seconds": seconds, "apart": 3e-7, "tokens": 44.2, "longest": 183}
    padded = {"naive": 90_000, "audit": 50_000, "sorted": 45_000}
    one = {"sizes": {"train": 10}, "spent": 1.0, "classes": 2, "told": [["`overfitting`", "clear", "train", "1"]]}
    page = module.page({"speed": {**about, "padded": padded}, "sst2": one})
    assert "| 8 | 50,000 | 2.50 (2.00 to 3.00) |" in page
    assert "| 8 | 45,000 | 2.50 (2.00 to 4.00) |" in page
    assert "| `overfitting` | clear | train | 1 |" in page
    assert "agnews" not in page  # what was not measured is left out
    copies = Estimate(75 / 6.735, 75 / 6.735, 75 / 6.735, "rows per 1,000", 6735, "census")
    assert module.value(copies) == "11.1: 75 of 6,735, counted"
    assert module.value(Estimate(0.25, 0.2, None, "AUC", 10, "by hand")) == "0.250 (0.200 to ?)"


@pytest.mark.slow
@pytest.mark.shared_data
def test_sorting_runs_fewer_tokens_and_the_same_features(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCORK_SHARED", str(shared_data))
    made = module.speed(256)
    real = made["tokens"] * 256
    assert made["padded"]["sorted"] < 1.15 * real
    assert made["padded"]["audit"] < 1.15 * real
    assert made["padded"]["naive"] > 1.8 * real
    assert made["apart"] < 1e-5
