"""miscalibration: found where confidence was planted wrong, silent where labels are drawn from the confidences."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.derived.confidence import confidence, correct
from uncork.probes.miscalibration import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.testing.artifacts import a_pass, calibrated_pass, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict


def given(validation: PassData, **known: Any) -> dict[str, Any]:
    return {"validation": validation, "facts": facts(classes=tuple("abcdefghij"), **known)}


def too_sure(n: int, seed: int, factor: float = 3.0) -> PassData:
    """Labels drawn from softmax(z); the model states softmax(factor · z)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(n, 5))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return PassData.of_logits(factor * logits, y)


def test_keeps_the_contract_and_stays_silent_on_calibrated_models() -> None:
    check_probe(
        measure,
        lambda: given(too_sure(600, 0)),
        null=lambda seed: given(calibrated_pass(1000, classes=5, seed=seed)),
    )


def test_constant_gap_is_measured() -> None:
    """Says .99, is right for 9 rows in 10 exactly: the gap is .09, and 90 errors per 1,000 are unannounced."""
    found = measure(**given(a_pass(4000, error=0.1, confidence=0.99, seed=1)), rng=generator(0))
    assert found.estimates["calibration_error"].value == pytest.approx(0.09, abs=0.004)
    assert found.estimates["ece"].value == pytest.approx(0.09, abs=0.001)
    assert found.headroom.value == pytest.approx(90, abs=0.5)
    assert found.estimates["p_calibrated"].value == 0


def test_interval_covers_the_true_gap() -> None:
    """The truth of too_sure's population from 300,000 rows (± .001). At a true 95 %, 40 intervals cover less often than
    at 33 with a chance of 1 in 1,000 (fixed seeds)."""

    def error(passed: PassData) -> Estimate:
        sure = confidence(passed)
        return calibration_error(sure, correct(passed), equal_mass_bins(sure))

    whole = error(too_sure(300_000, 99)).value
    covered = 0
    for seed in range(40):
        found = measure(**given(too_sure(1500, seed)), rng=generator(seed)).estimates["calibration_error"]
        assert found == error(too_sure(1500, seed))
        covered += found.low <= whole <= found.high
    assert covered >= stats.binom.ppf(1e-3, 40, 0.95)


def test_multiplied_logits_are_a_bottleneck_and_a_temperature_mends_them() -> None:
    artifacts = given(too_sure(2000, 3))
    found = measure(**artifacts, rng=generator(0))
    assert verdict(measure, artifacts) == "bottleneck"
    # The mean loss at the planted temperature is the truth that the halves' fits can only come near.
    exact = artifacts["validation"]
    cold = exact.logits.astype(float) / 3
    ideal = np.log(np.exp(cold).sum(axis=1)) - cold[np.arange(len(exact)), exact.y]
    best = float(np.mean(exact.loss - ideal))
    assert found.estimates["temperature_gain"].value == pytest.approx(best, rel=0.03)
    assert found.estimates["temperature_gain"].low > 0


def test_much_evidence_of_calibration_is_clear_and_little_is_not() -> None:
    assert verdict(measure, given(calibrated_pass(40_000, classes=5))) == "clear"
    assert verdict(measure, given(calibrated_pass(120, classes=5))) == "undetermined"


def test_rows_in_groups_count_as_groups() -> None:
    """Calibrated, 300 groups of ten equal rows: error is put above 0 in at most 2.5 % of draws, and a small p comes
    as rarely as it says. 100 draws, chance 1e-3 each (fixed seeds)."""
    above = as_rows = small = 0
    for seed in range(100):
        once = calibrated_pass(300, classes=5, seed=seed)
        passed = dataclasses.replace(
            once.take(np.repeat(np.arange(300), 10)), rows=np.arange(3000), clusters=np.repeat(np.arange(300), 10)
        )
        found = measure(**given(passed), rng=generator(seed)).estimates
        above += found["calibration_error"].low > 0
        small += found["p_calibrated"].value < 0.05
        as_rows += calibration_error(confidence(passed), correct(passed), equal_mass_bins(confidence(passed))).low > 0
        assert found["accuracy"].n == found["calibration_error"].n == 300
    assert above <= stats.binom.ppf(1 - 1e-3, 100, 0.025)
    assert small <= stats.binom.ppf(1 - 1e-3, 100, 0.05)
    assert as_rows > stats.binom.ppf(1 - 1e-3, 100, 0.05)


def test_summary_gives_the_interval_of_the_accuracy() -> None:
    """40 wrong of 400: Clopper–Pearson of 360 in 400."""
    found = measure(**given(a_pass(400, error=0.1, confidence=0.99)), rng=generator(0))
    low, high = stats.binomtest(360, 400).proportion_ci(0.95)
    expected = f"and is right 90.0 % of the time ({100 * low:.1f} to {100 * high:.1f})."
    assert found.summary == f"It says 99.0 % on average {expected}"


def test_the_users_limit_decides() -> None:
    sure = a_pass(4000, error=0.1, confidence=0.99)
    loose = {**facts().require, "ece": 0.2}
    assert verdict(measure, given(sure)) == "bottleneck"
    assert verdict(measure, given(sure, require=loose)) == "clear"


@pytest.mark.parametrize(
    ("validation", "known", "why"),
    [
        (PassData.of_values(np.zeros(200), np.ones(200)), {"task": "regression", "metric": Metric("rmse")}, "regress"),
        (a_pass(99, error=0.1), {}, "99 rows"),
    ],
)
def test_not_applicable_says_why(validation: PassData, known: dict[str, Any], why: str) -> None:
    outcome = measure(**given(validation, **known), rng=generator(0))
    assert isinstance(outcome, NotApplicable)
    assert why in outcome.reason


@pytest.mark.filterwarnings("error")
def test_edge_cases(edge: PassData) -> None:
    artifacts = {"validation": edge, "facts": facts(classes=tuple(map(str, range(edge.logits.shape[1]))))}
    outcome = measure(**artifacts, rng=generator(0))
    if len(edge) < 100:
        assert isinstance(outcome, NotApplicable)
    else:
        check_measurement(measure, outcome, artifacts)
