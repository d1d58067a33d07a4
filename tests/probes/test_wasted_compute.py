from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.derived.training_step import best_batch, best_way, stall, utilisation
from uncork.probes.wasted_compute import measure
from uncork.schema.training_step import COMPILED, HELD
from uncork.testing.probes import check_probe, verdict
from uncork.testing.training_step import training_step


def given(**known: Any) -> dict[str, Any]:
    return {"step": training_step(**known)}


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    """Null: steps that could be just 1.25 times as fast, the most that is tolerated."""
    check_probe(measure, lambda: given(stall=0.4), null=lambda seed: given(stall=0.2, seed=seed))


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"stall": 0.5}, "bottleneck"), ({"batch": 1.8}, "clear"), ({}, "clear"), ({"stall": 0.2}, "undetermined")],
)
def test_verdicts(known: dict[str, float], expected: str) -> None:
    assert verdict(measure, given(**known)) == expected


def test_shares_are_covered() -> None:
    """200 draws at a nominal 95 %, of stretches that are nearly normal. Below 180: chance 3e-4 each."""
    found = [training_step(stall=0.3, utilisation=0.4, seed=s) for s in range(200)]
    for estimates, truth in (([stall(d) for d in found], 0.3), ([utilisation(d) for d in found], 0.4)):
        assert sum(e.low <= truth <= e.high for e in estimates) >= 180


def test_the_fastest_is_measured_on_rounds_that_did_not_choose_it() -> None:
    """Ways that are all alike, 200 draws: picked by one half, timed on the other, each looks faster half the time.

    More than 130 of 200 above 1: chance 1e-5. Picked and timed on the same rounds they all would be.
    """
    found = [best_batch(_alike(s))[1].value for s in range(200)]
    assert sum(value > 1 for value in found) <= 130


def test_ways_that_learn_the_same_are_headroom() -> None:
    data = training_step(stall=0.1)
    compiled = dataclasses.replace(
        data,
        ways=(*data.ways, COMPILED),
        rows=np.append(data.rows, 32),
        seconds=np.c_[data.seconds, data.seconds[:, 1] / 2],
    )
    found = measure(step=compiled, rng=np.random.default_rng(0))
    assert found.headroom.low < 2 / 0.9 < found.headroom.high
    assert "By torch.compile, batches held ready, it learns from 2.2" in found.summary
    assert found.estimates["other_precision"].value == pytest.approx(1 / 1.1, abs=0.02)


def _alike(seed: int) -> Any:
    """Seven other sizes, all as fast as the recipe's."""
    rng, data = np.random.default_rng(seed), training_step()
    ways = (*data.ways[:2], *(f"batch of {n}" for n in range(1, 8)))
    rows = np.array([32, 32, *range(1, 8)])
    seconds = 0.001 * rows * np.exp(rng.normal(0, 0.1, (40, len(rows))))
    return dataclasses.replace(data, ways=ways, rows=rows, seconds=seconds)


def test_what_is_not_known_is_left_out() -> None:
    data = training_step()
    bare = dataclasses.replace(
        data, flops=0, ways=data.ways[:2], rows=data.rows[:2], seconds=data.seconds[:, :2], padding=np.zeros(0)
    )
    found = measure(step=bare, rng=np.random.default_rng(0))
    assert set(found.estimates) == {"times_faster", "stall"}
    assert best_way(bare)[0] == HELD
    assert best_batch(bare) is None
    assert "matrix product" not in found.summary
    padded = dataclasses.replace(data, padding=np.array([0.2, 0.3, 0.4]))
    share = measure(step=padded, rng=np.random.default_rng(0)).estimates["padding"]
    assert share.value == pytest.approx(0.3)
    assert share.low < 0.3 < share.high
    assert (
        measure(step=data, rng=np.random.default_rng(0)).details[0].note == "Not measured: batch of 128: out of memory."
    )
