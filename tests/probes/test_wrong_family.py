"""wrong-family: a rival's gain over the model on the same rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.wrong_family import measure
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.testing.artifacts import a_pass, a_trial, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict

Y = np.arange(1500) % 2


def given(mine: PassData, rival: PassData, **known: Any) -> dict[str, Any]:
    return {"validation": mine, "trial": a_trial(rival), "facts": facts(**known)}


def test_keeps_the_contract_and_alarms_rarely_at_the_boundary(drawn: Any) -> None:
    """Null: the rival gains δ itself, 5 per 1,000."""
    check_probe(
        measure,
        lambda: given(a_pass(800, error=0.2, seed=1), a_pass(800, error=0.1, seed=2)),
        null=lambda seed: given(drawn(Y, 0.105, 2 * seed), drawn(Y, 0.1, 2 * seed + 1)),
        seeds=200,
    )


def test_planted_gain_is_covered_and_found(drawn: Any) -> None:
    """True gain 100 per 1,000; 100 intervals cover less often than at 87 with a chance of 1 in 1,000 (fixed seeds)."""
    covered = 0
    for seed in range(100):
        artifacts = given(drawn(Y, 0.2, 2 * seed), drawn(Y, 0.1, 2 * seed + 1))
        headroom = measure(**artifacts, rng=generator(0)).headroom
        covered += headroom.low <= 100 <= headroom.high
        assert verdict(measure, artifacts) == "bottleneck"  # seven standard errors above δ
    assert covered >= stats.binom.ppf(1e-3, 100, 0.95)


def test_a_worse_rival_is_clear() -> None:
    found = given(a_pass(2000, error=0.1, seed=1), a_pass(2000, error=0.2, seed=2))
    assert verdict(measure, found) == "clear"
    assert measure(**found, rng=generator(0)).headroom.value == pytest.approx(-100)


def test_only_the_rows_that_the_rival_saw_are_compared() -> None:
    mine, rival = a_pass(1000, error=0.2, seed=1), a_pass(1000, error=0.1, seed=2)
    some = np.arange(0, 1000, 2)
    found = measure(**given(mine, rival.take(some[::-1])), rng=generator(0))
    lost = (mine.predicted != mine.y)[some].sum() - (rival.predicted != rival.y)[some].sum()
    assert found.headroom.value == pytest.approx(1000 * lost / 500)


def test_rows_in_groups_count_as_groups() -> None:
    groups = np.arange(1000) // 50
    mine, rival = (dataclasses.replace(a_pass(1000, error=e, seed=1), clusters=groups) for e in (0.2, 0.1))
    assert measure(**given(mine, rival), rng=generator(0)).headroom.n == 20


def test_what_tuning_the_model_gains_stands_beside_the_headroom(drawn: Any) -> None:
    """Errors of 200, tuned 150 and rival 100 per 1,000: the three gains are those of plain paired comparisons."""
    mine, tuned, rival = (drawn(Y, share, seed) for seed, share in enumerate((0.2, 0.15, 0.1)))
    artifacts = {**given(mine, rival), "trial": a_trial(rival, tuned)}
    found = measure(**artifacts, rng=generator(0))
    check_probe(measure, lambda: artifacts)
    wrong = [1000 * (p.predicted != p.y).mean() for p in (mine, tuned, rival)]
    assert found.headroom.value == pytest.approx(wrong[0] - wrong[2])
    gains = [found.estimates[name].value for name in ("tuning_gain", "rival_over_tuned_model")]
    assert gains == pytest.approx([wrong[0] - wrong[1], wrong[1] - wrong[2]])
    assert found.estimates["tuned_model"].value == pytest.approx(wrong[1])
    assert f"Over the model tuned as often it gains {wrong[1] - wrong[2]:.3g}" in found.summary
    assert found.details[0].data["rows"][-1][:2] == ["the recipe", "rate 0.001, decay 0.01"]
    turned = measure(**{**artifacts, "trial": a_trial(tuned, rival)}, rng=generator(0))
    assert f"Over the model tuned as often it loses {wrong[1] - wrong[2]:.3g}" in turned.summary
    alone = measure(**given(mine, rival), rng=generator(0))
    assert alone.headroom == found.headroom
    assert "The model was not tuned: no recipe was given." in alone.details[0].note
    assert set(alone.estimates) == {"model", "rival"}


def test_sizes_and_what_was_left_out_are_told() -> None:
    trial = dataclasses.replace(a_trial(a_pass(100, error=0.1)), numbers=13, model_numbers=4482, left_out=("a: b",))
    found = measure(**{**given(a_pass(100, error=0.1), a_pass(100, error=0.1)), "trial": trial}, rng=generator(0))
    assert found.summary == "The best rival is linear, of 13 numbers where the model has 4,482."
    assert found.details[0].note.endswith("Left out: a: b.")


def test_regression_gains_in_rmse() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)
    mine, rival = (PassData.of_values(y + rng.normal(0, s, 4000), y) for s in (2.0, 1.0))
    artifacts = given(mine, rival, task="regression", metric=Metric("rmse"), classes=())
    headroom = measure(**artifacts, rng=generator(0)).headroom
    assert headroom.low <= 1.0 <= headroom.high
    check_probe(measure, lambda: artifacts)


def test_an_unknown_figure_of_a_rival_is_shown_as_unknown() -> None:
    trial = dataclasses.replace(a_trial(a_pass(100, error=0.1)), screened=(float("inf"),))
    artifacts = {**given(a_pass(100, error=0.2), a_pass(100, error=0.1)), "trial": trial}
    found = measure(**artifacts, rng=generator(0))
    check_measurement(measure, found, artifacts)
    assert found.details[0].data["rows"][0] == ["linear", "penalty 1", None, 0.1, 1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["error", "log-loss"])
def test_edge_cases(edge: PassData, metric: str) -> None:
    artifacts = given(edge, dataclasses.replace(edge, predicted=edge.predicted[::-1]), metric=Metric(metric))
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)
