from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork.probes.export_mismatch import measure
from uncork.schema.finding import Measurement
from uncork.testing.exported import exported
from uncork.testing.probes import check_probe, verdict


def given(n: int = 2000, seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {"exported": exported(n, seed=seed, **changes)}


def found(**changes: Any) -> Measurement:
    result = measure(**given(**changes), rng=np.random.default_rng(0))
    assert isinstance(result, Measurement)
    return result


@pytest.mark.slow
def test_keeps_the_contract() -> None:
    """Null: as many rows differ as are tolerated, 5 in 1,000."""
    check_probe(measure, lambda: given(300, flips=0.01), null=lambda seed: given(seed=seed, flips=0.005))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "clear"),
        ({"int8_flips": 0.2}, "clear"),
        ({"n": 100}, "undetermined"),
        ({"flips": 0.02}, "bottleneck"),
        ({"moved": 0.5}, "bottleneck"),
    ],
)
def test_verdicts(changes: dict[str, Any], expected: str) -> None:
    assert verdict(measure, given(**changes)) == expected


def test_no_flip_among_n_bounds_their_share_by_the_rule_of_three() -> None:
    """One-sided: (1 − p)^n = .05 at the bound; .03 % of 10,000 rows."""
    flips = found(n=10_000).estimates["flips"]
    assert (flips.value, flips.low) == (0.0, 0.0)
    assert flips.high == pytest.approx(1000 * (1 - 0.05**1e-4))
    assert flips.high == pytest.approx(0.3, rel=2e-3)


def test_what_differs_without_a_flip_counts_and_eight_bits_are_told_apart() -> None:
    result = found(moved=0.25, int8_flips=0.1)
    assert result.estimates["flips"].value == 0
    # Binomial shares of 2,000 rows at fixed seeds, four standard deviations: chance 1e-4.
    assert result.estimates["mismatch"].value == pytest.approx(250, abs=39)
    assert result.estimates["flips_int8"].value == pytest.approx(100, abs=27)
    assert "draws at random" in result.summary
    without = found(int8=False)
    assert "flips_int8" not in without.estimates
    assert without.details[0].note == "8 bits not measured: no train was given."
    assert "Batches of 1, 7, 64 agree" in without.summary
