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
    assert found.details[0].data["rows"][0][1] is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["error", "log-loss"])
def test_edge_cases(edge: PassData, metric: str) -> None:
    artifacts = given(edge, dataclasses.replace(edge, predicted=edge.predicted[::-1]), metric=Metric(metric))
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)
