"""unguaranteed-errors: what it guarantees holds as often as it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.unguaranteed_errors import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.score import score
from uncork.testing.artifacts import a_pass, calibrated_pass, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict


def given(validation: PassData, **require: float) -> dict[str, Any]:
    return {"validation": validation, "facts": facts(require={**facts().require, **require})}


def test_keeps_the_contract_and_alarms_rarely_at_the_asked_precision(drawn: Any) -> None:
    y = np.arange(3000) % 2
    check_probe(
        measure,
        lambda: given(calibrated_pass(700, classes=3)),
        null=lambda seed: given(drawn(y, 0.01, seed)),
        seeds=60,
    )


def test_errors_beyond_those_allowed_are_counted() -> None:
    """80 wrong of 1,000, 10 allowed: 70 exposed."""
    artifacts = given(a_pass(4000, error=0.08))
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom.value == pytest.approx(70)
    assert verdict(measure, artifacts) == "bottleneck"
    assert verdict(measure, given(a_pass(4000, error=0.08), precision=0.9)) == "clear"
    assert verdict(measure, given(a_pass(4000, error=0.01))) == "undetermined"


def test_a_certificate_is_false_as_rarely_as_it_says(drawn: Any) -> None:
    """Confidence says nothing of correctness and 1.1 % are wrong: any certificate of 99 % is false, and at most 5 % of
    draws may give one. 150 draws exceed 17 with a chance of 1 in 1,000 (fixed seeds)."""
    y = np.arange(2500) % 2
    given_out = 0
    for seed in range(150):
        found = measure(**given(drawn(y, 0.011, seed)), rng=generator(0))
        given_out += any(d.title == "Certificate" for d in found.details)
    assert given_out <= stats.binom.ppf(1 - 1e-3, 150, 0.05)


def in_tens(passed: PassData) -> PassData:
    """Ten copies of each row, as one group."""
    copied = passed.take(np.repeat(np.arange(len(passed)), 10))
    return dataclasses.replace(copied, rows=np.arange(len(copied)), clusters=np.repeat(np.arange(len(passed)), 10))


def test_a_certificate_of_groups_is_false_as_rarely_as_it_says(drawn: Any) -> None:
    """As above with 400 groups of ten equal rows: taken as rows, 4,000 of them certified 99 % far too often."""
    y = np.arange(400) % 2
    given_out = as_rows = 0
    for seed in range(150):
        passed = in_tens(drawn(y, 0.011, seed))
        for kind in (passed, dataclasses.replace(passed, clusters=passed.rows)):
            found = measure(**given(kind), rng=generator(0))
            certified = any(d.title == "Certificate" for d in found.details)
            given_out += certified and kind is passed
            as_rows += certified and kind is not passed
    most = stats.binom.ppf(1 - 1e-3, 150, 0.05)
    assert given_out <= most
    assert as_rows > most


def test_groups_are_the_unit_of_all_that_is_promised() -> None:
    passed = in_tens(calibrated_pass(300, classes=4))
    found = measure(**given(passed), rng=generator(0))
    exact = score(Metric("accuracy"), passed)
    precision = found.estimates["precision"]
    ends = (exact.low / 1000, exact.high / 1000)
    assert (precision.low, precision.high, precision.n) == (*map(pytest.approx, ends), 300)
    assert found.headroom.low == pytest.approx(990 - exact.high)
    assert found.headroom.se == pytest.approx(exact.se)
    assert found.estimates["set_coverage"].n == found.estimates["set_size"].n == 150
    assert "more groups, or fewer" in found.summary
    fewer = measure(**given(in_tens(calibrated_pass(200, classes=4))), rng=generator(0))
    assert "on 200 groups of rows" in fewer.summary
    assert "one of each group" in found.estimates["answered"].method


def test_intervals_of_sets_of_groups_cover() -> None:
    """The mean coverage asked, .9, is inside the interval of the sets of 100 groups as often as calibration on the
    other 100 allows: its s.d. of .03 adds to as much of the scored half, so about ±1.96/√2 s.d. at worst: ≥ .8."""
    held = 0
    for seed in range(100):
        passed = in_tens(calibrated_pass(200, classes=4, seed=seed))
        e = measure(**given(passed), rng=generator(seed)).estimates["set_coverage"]
        held += e.low <= 0.9 <= e.high
    assert held >= stats.binom.ppf(1e-3, 100, 0.8)


def test_a_failed_certificate_accuses_nobody(drawn: Any) -> None:
    found = measure(**given(drawn(np.arange(400) % 2, 0.05, 0)), rng=generator(0))
    assert found.summary == (
        "No threshold could be certified for 99 % precision on these rows: more rows, or fewer errors among the "
        "surest, would be needed."
    )


def test_the_sure_part_can_be_answered() -> None:
    """6 rows in 10 are sure and wrong for 1 in 1,000, the rest are unsure and wrong for 1 in 5."""
    rng = np.random.default_rng(0)
    n = 8000
    sure = rng.random(n) < 0.6
    wrong = rng.random(n) < np.where(sure, 0.001, 0.2)
    y = np.arange(n) % 2
    logits = np.zeros((n, 2))
    logits[np.arange(n), y ^ wrong] = np.where(sure, 6.0, 1.0)
    artifacts = given(PassData.of_logits(logits, y))
    found = measure(**artifacts, rng=generator(0))
    answered = found.estimates["answered"]
    assert answered.value == pytest.approx(sure.mean())
    assert answered.low < 0.6 < answered.high
    # Ties count with their mean error: the curve stands at the sure rows' error until they are all answered.
    expected = np.where(np.arange(1, n + 1) <= sure.sum(), wrong[sure].mean(), np.nan)
    rest = np.arange(1, n - sure.sum() + 1)
    expected[sure.sum() :] = (wrong[sure].sum() + rest * wrong[~sure].mean()) / (sure.sum() + rest)
    assert found.estimates["aurc"].value == pytest.approx(expected.mean(), rel=1e-6)


def test_conformal_sets_hold_as_often_as_asked() -> None:
    """Split conformal on 500 rows covers .9 to .902 on average; the mean of 40 draws has a standard error of .003."""
    held = [
        measure(**given(calibrated_pass(1000, classes=6, seed=s)), rng=generator(s)).estimates["set_coverage"].value
        for s in range(40)
    ]
    assert abs(np.mean(held) - 0.901) < 0.012


def test_not_applicable_says_why() -> None:
    outcome = measure(
        validation=PassData.of_values(np.zeros(50), np.ones(50)),
        facts=facts(task="regression", metric=Metric("rmse"), classes=()),
        rng=generator(0),
    )
    assert isinstance(outcome, NotApplicable)
    assert "regression" in outcome.reason


@pytest.mark.filterwarnings("error")
def test_edge_cases(edge: PassData) -> None:
    artifacts = given(edge)
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)
