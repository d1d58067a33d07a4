"""membership-leakage: memorised rows show, models that memorise nothing stay at chance."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.probes.membership_leakage import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def pool_of(n: int = 1200, **changes: Any) -> PoolData:
    return a_pool(n=n, v=5, full=0, halves=16, **changes)


def given(pool: PoolData, **known: Any) -> dict[str, Any]:
    return {"pool": pool, "facts": facts(**known)}


def found(pool: PoolData) -> Measurement:
    return measure(**given(pool), rng=generator(0))


def some_memorised(n: int, share: float) -> PoolData:
    """A share of rows gets 15 more on the label's logit where trained on: seven s.d. of what trainings vary by."""
    plain = pool_of(n, memorised=False)
    here = np.random.default_rng(0).permutation(n) < share * n
    more = 15 * (here & plain.trained_on)[:, :, None] * (plain.y[:, None] == np.arange(3))
    return dataclasses.replace(plain, on_train=(plain.on_train + more).astype(np.float16))


def test_keeps_the_contract() -> None:
    check_probe(
        measure,
        lambda: given(some_memorised(1200, 0.1)),
        null=lambda seed: given(pool_of(memorised=False, seed=seed)),
        seeds=20,
    )
    check_probe(measure, lambda: given(pool_of(memorised=False, clusters=np.arange(1200) // 4)))


def test_memorised_rows_are_told() -> None:
    assert verdict(measure, given(pool_of())) == "bottleneck"
    estimates = found(pool_of()).estimates
    assert min(estimates["tpr"].low, estimates["auc"].low) > 0.99


def test_what_is_found_is_what_was_planted() -> None:
    """A fifth of rows is memorised: .2 of members are those, and .8 × .01 / .8 are others, as all false alarms are."""
    measured = found(some_memorised(4000, 0.2))
    tpr = measured.estimates["tpr"]
    assert tpr.low <= 0.21 <= tpr.high
    assert tpr.value == pytest.approx(0.21, abs=0.01)
    assert measured.headroom.value == pytest.approx(1000 * (tpr.value - 0.01))
    assert verdict(measure, given(some_memorised(4000, 0.2))) == "bottleneck"


def test_nothing_memorised_is_at_chance_and_clear() -> None:
    estimates = found(pool_of(6000, memorised=False)).estimates
    assert estimates["auc"].low <= 0.5 <= estimates["auc"].high
    assert estimates["tpr"].low <= 0.01 <= estimates["tpr"].high
    assert verdict(measure, given(pool_of(6000, memorised=False))) == "clear"


def test_too_few_rows_for_one_percent() -> None:
    measured = found(pool_of(900))
    assert not measured.estimates["tpr"].determined
    assert measured.estimates["auc"].low > 0.9
    assert verdict(measure, given(pool_of(900))) == "undetermined"


def test_a_target_whose_other_half_is_missing() -> None:
    pool = pool_of()
    more = a_pool(n=1200, v=5, full=0, halves=18)
    odd = more.take(np.arange(17))
    assert found(odd).estimates["tpr"].low > 0.99
    assert found(pool).estimates["tpr"].n == 1200


def test_not_applicable() -> None:
    assert measure(**given(no_pool("no recipe")), rng=generator(0)) == NotApplicable("no recipe")
    few = measure(**given(a_pool(halves=14, left_out={"halves": "it costs too much"})), rng=generator(0))
    assert isinstance(few, NotApplicable)
    assert "14 of 16" in few.reason
    assert isinstance(measure(**given(pool_of(), task="regression"), rng=generator(0)), NotApplicable)
