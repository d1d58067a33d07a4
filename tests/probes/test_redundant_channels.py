from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork.derived.resolved import factor_within, resolved
from uncork.probes.redundant_channels import measure
from uncork.schema.finding import Estimate
from uncork.testing.artifacts import facts
from uncork.testing.probes import check_probe, verdict
from uncork.testing.redundant_channels import a_redundancy

RNG = np.random.default_rng(0)


def given(n: int = 9000, *, dense: float = 0.05, pruned: float = 0.05, seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {"redundancy": a_redundancy(n, dense=dense, pruned=pruned, seed=seed, **changes), "facts": facts()}


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    """Null: a pruned net that loses just δ, 5 per 1,000."""
    check_probe(measure, lambda: given(2000), null=lambda seed: given(2000, pruned=0.055, seed=seed))


@pytest.mark.parametrize(
    ("n", "pruned", "expected"), [(9000, 0.05, "bottleneck"), (9000, 0.08, "clear"), (200, 0.05, "undetermined")]
)
def test_verdicts(n: int, pruned: float, expected: str) -> None:
    assert verdict(measure, given(n, pruned=pruned)) == expected


def test_losses_and_gains_are_what_was_planted() -> None:
    found = measure(**given(pruned=0.052, random=0.09, scratch=0.06), rng=RNG)
    for name, truth in {
        "loss": 2,
        "loss_against_checkpoint": 2,
        "gain_over_random": 38,
        "gain_over_scratch": 8,
    }.items():
        # Intervals of 95 %, at one fixed seed: each fails a correct probe with chance .05 at another.
        assert found.estimates[name].low - 1 < truth < found.estimates[name].high + 1, name
    assert found.estimates["times_faster"].low < 1.5 < found.estimates["times_faster_at_64"].high
    assert found.headroom.value == found.headroom.low == 2
    assert found.summary.startswith("These rows and seeds resolve a loss of")
    assert "3 of 64 channels repeat others or are silent" in found.summary


def test_what_is_too_coarse_is_said_first() -> None:
    found = measure(**given(200), rng=RNG)
    assert "too coarse for any claim" in found.summary
    assert (found.headroom.value, found.headroom.low, found.headroom.high) == (None, 1.0, 2.0)


def test_a_poor_rehearsal_is_told() -> None:
    found = measure(**given(within=False, redundant=0), rng=RNG)
    assert "though it lost more than δ there" in found.details[0].note
    assert "No channel repeats another" in found.summary
    assert found.details[0].data["rows"][-1] == ["taylor", "75%", None]


def test_where_redundant_channels_alone_go_there_is_no_random_choice() -> None:
    found = measure(**given(ratio=0.0), rng=RNG)
    assert "gain_over_random" not in found.estimates
    assert "Without these alone, the net" in found.summary


def test_a_factor_is_claimed_as_far_as_the_loss_lets_it() -> None:
    def loss(low: float | None, high: float | None) -> Estimate:
        return Estimate(1.0, low, high, "errors per 1,000", 100, "t")

    def factor(estimate: Estimate | None) -> Estimate | None:
        return factor_within(4.0, estimate, 5.0, unit="times fewer bytes", n=400)

    assert factor(None) is None
    assert factor(loss(5.0, 9.0)) is None
    surely, perhaps = factor(loss(-1.0, 4.9)), factor(loss(None, None))
    assert (surely.value, surely.low, surely.high, surely.method) == (4.0, 4.0, 4.0, "bytes, counted")
    assert (perhaps.value, perhaps.low, perhaps.high) == (None, 1.0, 4.0)
    assert resolved(loss(0.5, 3.0), 5.0).startswith(
        "These rows and seeds resolve a loss of 2 errors per 1,000 (δ = 5)."
    )
    assert resolved(loss(None, None), 5.0) == resolved(None, 5.0) == ""
