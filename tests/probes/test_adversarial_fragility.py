"""adversarial-fragility: what it says of attacks whose outcome is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.derived.masking import blind, noticed
from uncork.probes.adversarial_fragility import measure
from uncork.schema.attacks import AttackedData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.attacks import attacks
from uncork.testing.probes import check_probe, verdict


def given(found: AttackedData, **require: float) -> dict[str, Any]:
    return {"attacked": found, "facts": facts(require={**facts().require, "linf": 0.1, **require})}


def at_the_limit(seed: int) -> dict[str, Any]:
    """Every row is right under attack with the required probability, .9."""
    n = 300
    held = np.random.default_rng(seed).random(n) < 0.9
    by = np.where(held, -1, 0).astype(np.int8)
    return given(attacks(n, right=1.0, fooled=0.0, by=by))


def test_keeps_the_contract_and_alarms_rarely_at_the_limit() -> None:
    check_probe(measure, lambda: given(attacks(300, right=0.95, fooled=0.5)), null=at_the_limit, seeds=60)


def test_turned_rows_are_counted() -> None:
    """400 rows, 380 right, 228 of them turned: 152 hold. Required .9: 1,000 (228 / 400 − .1) = 470 exposed."""
    found = measure(**given(attacks(400, right=0.95, fooled=0.6)), rng=generator(0))
    assert found.estimates["robust_accuracy"].value == pytest.approx(0.38)
    assert found.estimates["clean_accuracy"].value == pytest.approx(0.95)
    assert found.headroom.value == pytest.approx(520)  # .9 of rows should hold, .38 do
    exact = stats.binomtest(152, 400).proportion_ci(method="exact")
    assert (found.estimates["robust_accuracy"].low, found.estimates["robust_accuracy"].high) == pytest.approx(exact)
    assert found.details[0].data["rows"][0][:4] == ["APGD-CE", 380, 228, "0.380"]


def test_verdicts() -> None:
    assert verdict(measure, given(attacks(400, right=0.95, fooled=0.6))) == "bottleneck"
    assert verdict(measure, given(attacks(400, right=0.99, fooled=0.01))) == "clear"
    assert verdict(measure, given(attacks(400, right=0.95, fooled=0.6), under_attack=0.3)) == "clear"
    assert verdict(measure, given(attacks(60, right=0.95, fooled=0.05))) == "undetermined"


@pytest.mark.parametrize("access", ["black-box", "inner"])
def test_a_weak_attack_clears_nothing(access: str) -> None:
    found = attacks(400, right=0.99, fooled=0.01, access=access)
    assert verdict(measure, given(found)) == "undetermined"
    assert measure(**given(found), rng=generator(0)).estimates["robust_accuracy"].low == 0
    assert verdict(measure, given(attacks(400, right=0.99, fooled=0.5, access=access))) == "bottleneck"


def test_without_a_certificate_a_row_may_hold_all_the_same() -> None:
    """Certified on 380 of 400: clear. On none: undetermined, since no attack was run."""
    assert verdict(measure, given(attacks(400, right=0.98, fooled=0.0, access="certified"))) == "clear"
    none = attacks(400, right=0.95, fooled=1.0, access="certified")
    assert verdict(measure, given(none)) == "undetermined"
    assert measure(**given(none), rng=generator(0)).estimates["robust_accuracy"].high > 0.9


@pytest.mark.parametrize(
    ("checks", "named", "blinded"),
    [
        ({"flat-margin": [0, 50], "square-only": [1, 200], "unbounded": [0, 50]}, (), False),
        ({"flat-margin": [50, 50]}, ("flat-margin",), True),
        ({"square-only": [40, 200]}, ("square-only",), True),
        ({"unbounded": [20, 50]}, ("unbounded",), True),
        ({"flat-entropy": [45, 50], "noise": [9, 50], "second-start": [0, 0]}, ("flat-entropy",), False),
    ],
)
def test_masking_is_noticed(checks: dict[str, list[int]], named: tuple[str, ...], blinded: bool) -> None:
    found = attacks(400, right=0.99, fooled=0.0, checks=checks)
    assert noticed(found) == named
    assert blind(found) == blinded
    assert verdict(measure, given(found)) == ("undetermined" if blinded else "clear")
    table = measure(**given(found), rng=generator(0)).details[2].data["rows"]
    assert sum(bool(row[3]) for row in table) == len(named)


def test_the_curve_falls_from_clean_to_attacked() -> None:
    found = measure(**given(attacks(400, right=0.95, fooled=0.6)), rng=generator(0))
    curve = found.details[1].data
    at = dict(zip(curve["x"], curve["y"], strict=True))
    assert at[0.0] == pytest.approx(0.95)
    assert at[0.1] == pytest.approx(0.38)
    assert curve["y"] == sorted(curve["y"], reverse=True)


def test_exact_distances_have_a_median() -> None:
    found = attacks(
        200, right=0.9, fooled=0.5, access="exact", checks={}, attacks=("closed form",), tried=(180,), seconds=(0.0,)
    )
    measured = measure(**given(found), rng=generator(0))
    assert measured.estimates["exact_distance"].value == pytest.approx(np.median(found.distance[found.clean]))
    assert len(measured.details) == 2
    assert "exact" in measured.summary


def test_groups_widen_the_interval() -> None:
    alone, grouped = (attacks(400, right=0.95, fooled=0.6, groups=groups) for groups in (None, 12))
    wide = [measure(**given(found), rng=generator(0)).estimates["robust_accuracy"] for found in (alone, grouped)]
    assert wide[1].high - wide[1].low > wide[0].high - wide[0].low
    assert "groups" in wide[1].method
