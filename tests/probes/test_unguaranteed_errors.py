"""unguaranteed-errors: what it guarantees holds as often as it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from mapie.regression import SplitConformalRegressor
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from uncork.derived.confidence import probabilities
from uncork.derived.order import random_half
from uncork.probes.unguaranteed_errors import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.schema.stranger_answers import StrangerAnswersData
from uncork.stats.conformal import least_ambiguous_sets
from uncork.stats.score import score
from uncork.testing.artifacts import a_pass, calibrated_pass, facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict

NONE = StrangerAnswersData(np.zeros(0), np.zeros(0, bool))


def given(validation: PassData, strangers: StrangerAnswersData = NONE, **require: float) -> dict[str, Any]:
    settled = facts(require={**facts().require, **require})
    if validation.task == "regression":
        settled = dataclasses.replace(settled, task="regression", metric=Metric("rmse"), classes=())
    return {"validation": validation, "strangers": strangers, "facts": settled}


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
    draws may give one. 80 draws exceed 11 with a chance of 1 in 1,000 (fixed seeds)."""
    y = np.arange(2500) % 2
    given_out = 0
    for seed in range(80):
        found = measure(**given(drawn(y, 0.011, seed)), rng=generator(0))
        given_out += any(d.title == "Certificate" for d in found.details)
    assert given_out <= stats.binom.ppf(1 - 1e-3, 80, 0.05)


def in_tens(passed: PassData) -> PassData:
    """Ten copies of each row, as one group."""
    copied = passed.take(np.repeat(np.arange(len(passed)), 10))
    return dataclasses.replace(copied, rows=np.arange(len(copied)), clusters=np.repeat(np.arange(len(passed)), 10))


def test_a_certificate_of_groups_is_false_as_rarely_as_it_says(drawn: Any) -> None:
    """As above with 400 groups of ten equal rows: taken as rows, 4,000 of them certified 99 % far too often."""
    y = np.arange(400) % 2
    given_out = as_rows = 0
    for seed in range(80):
        passed = in_tens(drawn(y, 0.011, seed))
        for kind in (passed, dataclasses.replace(passed, clusters=passed.rows)):
            found = measure(**given(kind), rng=generator(0))
            certified = any(d.title == "Certificate" for d in found.details)
            given_out += certified and kind is passed
            as_rows += certified and kind is not passed
    most = stats.binom.ppf(1 - 1e-3, 80, 0.05)
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


def with_a_guarded_half(n: int, seed: int = 0) -> PassData:
    """Sure of 7 rows in 10 and wrong on 1 in 1,000 of them, unsure of the rest and wrong on 3 in 10."""
    rng = np.random.default_rng(seed)
    sure = rng.random(n) < 0.7
    wrong = rng.random(n) < np.where(sure, 0.001, 0.3)
    logits = np.zeros((n, 2))
    y = np.arange(n) % 2
    logits[np.arange(n), y ^ wrong] = np.where(sure, 6.0, 0.5)
    return PassData.of_logits(logits, y)


def table_of(found: Any, title: str) -> dict[str, list[Any]]:
    (table,) = (d.data for d in found.details if d.title == title)
    return {row[0]: row[1:] for row in table["rows"]} | {"columns": table["columns"][1:]}


def test_what_a_guard_would_do_is_counted_on_rows_that_did_not_certify() -> None:
    passed = with_a_guarded_half(6000)
    strangers = StrangerAnswersData(np.r_[np.full(40, 0.99999), np.full(160, 0.6)], np.arange(200) >= 10)
    found = measure(**given(passed, strangers), rng=generator(5))
    half = random_half(passed, generator(5))
    sure = (passed.logits.min(axis=1) < -3)[~half]
    wrong = (passed.predicted != passed.y)[~half]
    gain = found.estimates["guard_gain"]
    assert gain.value == pytest.approx(1000 * (wrong & ~sure).mean())
    assert gain.low < 90 < gain.high  # .3 · .3 of the population
    table = table_of(found, "Of 1,000 rows")
    assert table["columns"] == ["right", "wrong", "handed over", "strangers answered, of 1,000"]
    counts = {name: [int(cell.split()[0]) for cell in table[name]] for name in ("as it is", "with a guard")}
    shares = [(~wrong).mean(), wrong.mean(), 0, 0.95]
    assert counts["as it is"] == [round(1000 * s) for s in shares]
    shares = [(~wrong & sure).mean(), (wrong & sure).mean(), (~sure).mean(), 0.15]  # 30 of the 40 sure ones
    assert counts["with a guard"] == [round(1000 * s) for s in shares]
    without = measure(**given(passed), rng=generator(5))
    assert table_of(without, "Of 1,000 rows")["columns"] == ["right", "wrong", "handed over"]
    uncertified = measure(**given(a_pass(4000, error=0.08)), rng=generator(0))
    assert "guard_gain" not in uncertified.estimates


def test_a_model_that_hands_rows_over_is_judged_by_its_answers() -> None:
    passed = with_a_guarded_half(6000)
    answered = passed.logits.min(axis=1) < -3
    guarded = dataclasses.replace(passed, answered=answered)
    found = measure(**given(guarded), rng=generator(0))
    assert found.estimates["precision"].n == answered.sum()
    assert found.estimates["precision"].value == pytest.approx((passed.predicted == passed.y)[answered].mean())
    assert verdict(measure, given(passed)) == "bottleneck"
    assert verdict(measure, given(guarded)) == "clear"
    assert found.estimates["answered"].value == pytest.approx(answered.mean())  # no more than the model answers
    assert found.estimates["guard_gain"].value == 0


def hard_class(n: int, seed: int) -> PassData:
    """Five classes, the last seen far less clearly."""
    rng = np.random.default_rng(seed)
    y = rng.integers(5, size=n)
    logits = np.array([5.0, 5.0, 5.0, 5.0, 1.0])[y, None] * np.eye(5)[y] + rng.normal(size=(n, 5))
    return PassData.of_logits(logits, y)


def test_the_class_that_one_limit_leaves_out_is_found() -> None:
    found = measure(**given(hard_class(5000, 0)), rng=generator(0))
    e = found.estimates
    assert e["set_coverage"].low < 0.9 < e["set_coverage"].high
    assert e["worst_class_coverage"].high < 0.75
    assert e["worst_class_coverage_own_limits"].low < 0.9 < e["worst_class_coverage_own_limits"].high
    passed, half = hard_class(5000, 0), random_half(hard_class(5000, 0), generator(0))
    p = probabilities(passed)
    own = least_ambiguous_sets(p[half], passed.y[half], p[~half], 0.9, by_class=True)
    assert e["set_size_own_limits"].value == pytest.approx(own.sum(axis=1).mean())
    assert next(iter(table_of(found, "Sets of classes, class by class"))) == "4"
    assert e["worst_class_coverage"].level == pytest.approx(0.99)  # 5 % over five classes


def test_classes_alike_are_seldom_called_uncovered() -> None:
    """All alike: one limit for all covers each as often as asked. Half calibrates, so its own error comes on top: the
    worst class's upper end lies below .9 in at most 10 % of draws; 8 or more of 40 by chance: .04 (fixed seeds)."""
    below = 0
    for seed in range(40):
        e = measure(**given(calibrated_pass(1500, classes=5, seed=seed)), rng=generator(seed)).estimates
        below += e["worst_class_coverage"].high < 0.9
    assert below <= 7


def test_the_group_that_sets_leave_out_is_found() -> None:
    """Forty groups of 100 rows; in eight of them labels are drawn at random for half of the rows."""
    passed = calibrated_pass(4000, classes=4, sharpness=4)
    groups = np.arange(4000) % 40
    rng = np.random.default_rng(0)
    turned = (groups < 8) & (rng.random(4000) < 0.5)
    y = np.where(turned, rng.integers(4, size=4000), passed.y)
    grouped = PassData.of_logits(passed.logits, y, clusters=groups)
    worst = measure(**given(grouped), rng=generator(0)).estimates["worst_group_coverage"]
    assert worst.high < 0.85
    assert worst.n == 100
    alike = PassData.of_logits(passed.logits, passed.y, clusters=groups)
    assert measure(**given(alike), rng=generator(0)).estimates["worst_group_coverage"].high > 0.9
    assert "worst_group_coverage" not in measure(**given(passed), rng=generator(0)).estimates


# Regression.


def values(n: int, seed: int, grows: float = 0.0) -> PassData:
    """Predicted values with normal errors, of s.d. 1 or growing with what is predicted."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 4, size=n)
    return PassData.of_values(predicted, predicted + rng.normal(size=n) * (1 + grows * predicted))


def test_regression_keeps_the_contract_and_alarms_rarely_where_errors_are_alike() -> None:
    check_probe(measure, lambda: given(values(600, 0)), null=lambda seed: given(values(600, seed)), seeds=40)


def test_intervals_are_as_wide_as_normal_errors_say() -> None:
    """2 · 1.645, in 30 draws: the mean within 4 s.e. (chance 6e-5); the interval covers it in 30 · .95, less 5."""
    found = [measure(**given(values(1000, s)), rng=generator(s)).estimates for s in range(30)]
    true = 2 * stats.norm.ppf(0.95)
    widths = [e["interval_width"].value for e in found]
    assert abs(np.mean(widths) - true) < 4 * stats.sem(widths) + 0.01
    assert sum(e["interval_width"].low <= true <= e["interval_width"].high for e in found) >= 24
    assert abs(np.mean([e["interval_coverage"].value for e in found]) - 0.901) < 0.01  # s.e. .0025


def test_one_width_for_all_is_found_out() -> None:
    """In the highest quarter the s.d. is about 2.75 times that in the lowest: by numbers, .76 of it are held."""
    found = measure(**given(values(3000, 0, grows=1.0)), rng=generator(0))
    held = found.estimates["worst_coverage"]
    assert 0.7 < held.value < 0.85
    assert found.headroom is None
    assert found.against.at_least == pytest.approx(0.85)
    own = found.estimates["worst_coverage_own_limits"]
    assert own.low < 0.9 < own.high
    assert next(iter(table_of(found, "Intervals, by what is predicted"))).startswith("predicted 3")
    assert verdict(measure, given(values(3000, 0, grows=1.0))) == "bottleneck"
    assert verdict(measure, given(values(8000, 0))) == "clear"
    assert "quarter of the predictions" in found.summary


def test_intervals_are_mapies() -> None:
    """Of a regressor that passes its input through, on the half that the probe drew."""

    class Through(RegressorMixin, BaseEstimator):
        def fit(self, x: Any, y: Any) -> Any:
            self.n_features_in_ = 1
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, 0]

    passed = values(900, 3)
    half = random_half(passed, generator(7))
    x = passed.predicted[:, None]
    mapie = SplitConformalRegressor(Through().fit(x, passed.y), confidence_level=0.9, prefit=True)
    mapie.conformalize(x[half], passed.y[half])
    _, ends = mapie.predict_interval(x[~half])
    held = (ends[:, 0, 0] <= passed.y[~half]) & (passed.y[~half] <= ends[:, 1, 0])
    shown = measure(**given(passed), rng=generator(7)).estimates["interval_coverage"]
    assert (shown.value, shown.n) == (pytest.approx(held.mean()), len(held))


@pytest.mark.parametrize("kind", ["no error", "one value", "five groups", "grouped", "few"])
@pytest.mark.filterwarnings("error")
def test_edge_cases_of_regression(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    passed = {
        "no error": PassData.of_values(x, x),
        "one value": PassData.of_values(np.ones(400), x),
        "five groups": PassData.of_values(x, x + rng.normal(size=400), clusters=np.arange(400) % 5),
        "grouped": PassData.of_values(x, x + rng.normal(size=400), clusters=np.arange(400) % 60),
        "few": PassData.of_values(x[:41], x[:41] + rng.normal(size=41)),
    }[kind]
    outcome = measure(**given(passed), rng=generator(0))
    if kind == "five groups":
        assert isinstance(outcome, NotApplicable)
        return
    check_measurement(measure, outcome, given(passed))


def test_not_applicable_says_why() -> None:
    few = measure(**given(PassData.of_values(np.zeros(39), np.ones(39))), rng=generator(0))
    assert isinstance(few, NotApplicable)
    assert "39 independent rows" in few.reason
    mute = dataclasses.replace(a_pass(100, error=0.1), answered=np.zeros(100, bool))
    outcome = measure(**given(mute), rng=generator(0))
    assert isinstance(outcome, NotApplicable)
    assert "hands every row over" in outcome.reason


@pytest.mark.filterwarnings("error")
def test_edge_cases(edge: PassData) -> None:
    artifacts = given(edge)
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)
