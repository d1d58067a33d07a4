"""opaque-decisions: clear where some method is true to the model, a bottleneck where none is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.derived.faithfulness import completeness_error, largest, over_chance, similarity
from uncork.probes.opaque_decisions import measure
from uncork.schema.attribution import AttributionData
from uncork.schema.finding import NotApplicable
from uncork.schema.seeds import generator
from uncork.testing.artifacts import a_pass, facts
from uncork.testing.attributions import an_attribution
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(attribution: AttributionData, **changes: Any) -> dict[str, Any]:
    known = {"validation": a_pass(200, error=0.1), "pool": no_pool(), "facts": facts()}
    return {"attribution": attribution, **known, **changes}


def test_keeps_the_contract_and_alarms_rarely_at_the_asked_faithfulness() -> None:
    """The null is the hardest: the truth lies on the limit, .05."""
    check_probe(
        measure,
        lambda: given(an_attribution(30), pool=a_pool(v=200, classes=2)),
        null=lambda seed: given(an_attribution(48, advantage=(0.05, 0.0), seed=seed)),
        seeds=60,
    )


def test_faithful_blind_and_undecided() -> None:
    assert verdict(measure, given(an_attribution(advantage=(0.3, 0.0)))) == "clear"
    blind = measure(**given(an_attribution(400, advantage=0.0)), rng=generator(0))
    assert verdict(measure, given(an_attribution(400, advantage=0.0))) == "bottleneck"
    # A rank that knows nothing is below the median of nine random ones on half of the rows.
    assert blind.headroom.low < 500 < blind.headroom.high
    assert verdict(measure, given(an_attribution(12, advantage=0.08))) == "undetermined"
    faithful = measure(**given(an_attribution(400, advantage=0.6)), rng=generator(0))
    assert faithful.headroom.high < 20


def test_a_method_whose_maps_do_not_change_with_the_model_does_not_count() -> None:
    one = given(an_attribution(advantage=(0.3, 0.01), similarity=(0.9, 0.0)))
    found = measure(**one, rng=generator(0))
    assert found.estimates["faithfulness"].value == found.estimates["occlusion_over_chance"].value
    assert "hardly change with the model: integrated gradients." in found.summary
    assert verdict(measure, one) == "bottleneck"
    both = given(an_attribution(advantage=0.3, similarity=(0.9, 0.8)))
    found = measure(**both, rng=generator(0))
    assert found.against.estimate == "occlusion_similarity"
    assert verdict(measure, both) == "bottleneck"
    assert found.headroom.value == 1000


def test_without_a_layer_the_check_is_left_out_and_said_so() -> None:
    whole = an_attribution(methods=("occlusion",), grid=(5,))
    unchecked = dataclasses.replace(whole, similarity=np.zeros((1, 0, 0)))
    found = measure(**given(unchecked), rng=generator(0))
    assert "could not be checked" in found.summary
    assert not {"occlusion_similarity", "occlusion_over_edges"} & set(found.estimates)
    assert verdict(measure, given(unchecked)) == "clear"


def test_estimates_by_hand() -> None:
    data = an_attribution(20, seed=3)
    area = data.by_method.mean(axis=2)
    gain = data.by_chance.mean(axis=(0, 2)) - area[0]
    found = over_chance(data, 0)
    half = stats.t.ppf(0.975, 19) * gain.std(ddof=1) / np.sqrt(20)
    assert (found.value, found.high - found.value) == (pytest.approx(gain.mean()), pytest.approx(half))
    same = similarity(data, 1)
    draws = data.similarity[1].mean(axis=1)
    assert (same.value, same.n) == (pytest.approx(draws.mean()), 5)
    assert same.high - same.value == pytest.approx(stats.t.ppf(0.975, 4) * draws.std(ddof=1) / np.sqrt(5))
    assert completeness_error(data).value == pytest.approx(data.gap.mean())


def test_the_largest_of_three_is_covered() -> None:
    """All alike at .05, the largest picked: 95 % asked. 300 draws fall below 274 with a chance under 1 in 1,000."""
    covered = 0
    for seed in range(300):
        data = an_attribution(30, advantage=0.05, methods=("a", "b", "c"), seed=seed)
        found = largest([over_chance(data, i) for i in range(3)])
        covered += found.low <= 0.05 <= found.high
    assert covered >= stats.binom.ppf(1e-3, 300, 0.95)


def test_agreement_is_read_of_the_models_of_all_of_train() -> None:
    pool = a_pool(v=200, classes=2, full=3)
    passed = a_pass(200, error=0.1)
    found = measure(**given(an_attribution(), pool=pool, validation=passed), rng=generator(0)).estimates["agreement"]
    alike = [pool.validation_pass(int(i)).predicted == passed.predicted for i in pool.members(1)]
    assert found.value == pytest.approx(np.mean(alike))
    assert found.unit == "share of 3 retrained models"


def test_copies_of_rows_add_nothing() -> None:
    rows = an_attribution(12)
    five = np.repeat(np.arange(12), 5)
    each = {"rows": np.arange(60), "clusters": five, "kept": rows.kept[five], "by_edges": rows.by_edges[five]}
    each |= {"decided": rows.decided[five], "right": rows.right[five], "gap": rows.gap[five]}
    each |= {name: getattr(rows, name)[:, five] for name in ("maps", "by_method", "by_chance")}
    one, copied = (
        measure(**given(data), rng=generator(0)).estimates["faithfulness"]
        for data in (rows, dataclasses.replace(rows, **each))
    )
    assert copied.n == 12
    assert (copied.low, copied.high) == (pytest.approx(one.low), pytest.approx(one.high))


@pytest.mark.parametrize("grid", [(8, 8), (30,)])
def test_evidence(grid: tuple[int, ...]) -> None:
    artifacts = given(an_attribution(grid=grid))
    found = measure(**artifacts, rng=generator(0))
    check_measurement(measure, found, artifacts)
    assert [d.kind for d in found.details] == ["table", "matrix" if len(grid) == 2 else "table", "examples"]


def test_not_applicable() -> None:
    still = an_attribution(20)
    constant = np.full_like(still.by_method, 0.95), np.full_like(still.by_chance, 0.95)
    still = dataclasses.replace(still, by_method=constant[0], by_chance=constant[1])
    for attribution, why in ((an_attribution(9), "fewer than 10"), (still, "moves no decision")):
        found = measure(**given(attribution), rng=generator(0))
        assert isinstance(found, NotApplicable)
        assert why in found.reason
