"""The page of guard: what it counts is what a known population does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import guard as benchmark
from uncork.data.split import Split
from uncork.models.guarded import HandedOver
from uncork.stats.binomial import clopper_pearson


def known(n: int, gap: float) -> tuple[benchmark.Kept, Split]:
    """Two classes; right as often as is said, less `gap`."""
    rng = np.random.default_rng(0)
    logit = rng.exponential(6.0, size=n)
    right = rng.random(n) < 1 / (1 + np.exp(-logit)) - gap
    return benchmark.Kept(np.c_[np.zeros(n), logit].astype(np.float32)), Split(np.arange(n)[:, None], right.astype(int))


def test_a_row_counts_of_1000() -> None:
    model, split = known(1000, 0.0)
    cells = [cell.strip() for cell in benchmark.row("half", HandedOver(model, 0.5, 0), split, split).split("|")[1:-1]]
    answered = benchmark.read(HandedOver(model, 0.5, 0), split)[1]
    right = answered & (split.y == 1)
    assert cells[0] == "half"
    assert cells[1].startswith(f"{100 * right.sum() / answered.sum():.2f} % (")
    counts = [int(cell.split()[0]) for cell in cells[2:]]
    assert counts == [right.sum(), (answered & ~right).sum(), (~answered).sum(), answered.sum()]


def test_broken_promises_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept on rows that fitted nothing (at most 5 % of 40 fall short; 7 by chance: 3e-3). With labels known beforehand
    to whoever says how sure it is, the promise is broken each time."""
    monkeypatch.setattr(benchmark, "DRAWS", 40)
    monkeypatch.setattr(benchmark, "ROWS", 1500)
    model, split = known(4000, 0.0)

    def peeking(inner: benchmark.Kept, drawn: Split) -> benchmark.Kept:
        seen = np.unique(drawn.take(np.arange(len(drawn)))[:, 0])
        logits = inner.logits.copy()
        logits[seen, 1] = np.where(split.y[seen] == 1, 9.0, 0.1)
        logits[np.setdiff1d(np.arange(4000), seen), 1] = 9.0
        return benchmark.Kept(logits)

    honest = benchmark.broken(model, split, lambda model, drawn: model, "honest")
    short, answered = honest.split(" | ")[1:]
    assert float(short.split(" %")[0]) <= 100 * 6 / 40
    assert int(answered.split(" %")[0]) > 20
    assert benchmark.broken(model, split, peeking, "peeking").startswith("| peeking | 100.00 %")


@pytest.mark.slow
@pytest.mark.shared_data
def test_resnet20_keeps_its_promise(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """99 % asked, 95 % sure: 200 calibrations drawn with replacement, at most 5 % short (19 by chance: 6e-3; fixed
    seeds). On the half of the pictures that certified nothing the answers are not surely below 99 %, and many."""
    model, split = benchmark.pictures()
    certifies, untouched = (split.subset(half) for half in benchmark.halve(split, 0))
    logits, answered = benchmark.read(benchmark.guarded(model, certifies, precision=0.99), untouched)
    right = (logits.argmax(axis=1) == untouched.y)[answered]
    assert clopper_pearson(int(right.sum()), len(right)).high > 0.99
    assert 0.6 < answered.mean() < 0.8
    monkeypatch.setattr(benchmark, "DRAWS", 200)
    short = benchmark.broken(model, split, lambda model, drawn: model, "nothing").split(" | ")[1]
    assert float(short.split(" %")[0]) <= 100 * 18 / 200
