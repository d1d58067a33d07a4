"""domain-shift: a planted drop is found, none is clear, and what labels don't tell is left open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.domain_shift import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Measurement
from uncork.schema.metric import Metric
from uncork.testing.artifacts import a_pass, calibrated_pass, facts
from uncork.testing.probes import check_probe, verdict
from uncork.testing.shifted import a_shifted, shifted_labels


def bayes(n: int, seed: int, *, nearer: float = 1.0) -> PassData:
    """The Bayes rule for two normal classes ±1 from 0, where they lie ±`nearer`: errs for Φ(−nearer)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    x = (2 * y - 1) * nearer + rng.normal(size=n)
    return PassData.of_logits(np.stack([np.zeros(n), 2 * x], axis=1), y)


def artifacts(
    seed: int = 0, *, nearer: float = 1.0, k: int | None = None, n: int = 900, **changes: Any
) -> dict[str, Any]:
    validation, there = bayes(5 * n // 3, seed), bayes(n, 1000 + seed, nearer=nearer)
    known: dict[str, Any] = {
        "validation": validation,
        "shifted": a_shifted(there, validation=len(validation), apart=0.5),
        "labels": shifted_labels(there, k),
        "facts": facts(),
    }
    return known | changes


def measured(**given: Any) -> Measurement:
    found = measure(**given, rng=np.random.default_rng(0))
    assert isinstance(found, Measurement)
    return found


@pytest.mark.parametrize("k", [None, pytest.param(60, marks=pytest.mark.slow), pytest.param(0, marks=pytest.mark.slow)])
def test_keeps_the_contract(k: int | None) -> None:
    check_probe(measure, lambda: artifacts(nearer=0.5, k=k, n=150))


@pytest.mark.slow
def test_null_subjects_raise_no_alarm() -> None:
    """The same distribution, 100 subjects: alarms at the stated rate at most, by the region of check_probe."""
    check_probe(measure, lambda: artifacts(nearer=0.5, n=150), null=lambda seed: artifacts(seed, n=150), seeds=100)


def test_a_planted_drop_is_found() -> None:
    """From Φ(−1) to Φ(−.5) wrong: 150 per 1,000."""
    found = measured(**artifacts(nearer=0.5))
    truth = 1000 * (stats.norm.cdf(-0.5) - stats.norm.cdf(-1))
    assert found.headroom is not None
    assert found.headroom.low < truth < found.headroom.high
    assert found.headroom == found.estimates["drop"]
    assert verdict(measure, artifacts(nearer=0.5)) == "bottleneck"
    assert "no remedy need regain it all" in found.summary
    assert "sampling alone" in found.summary


def test_the_same_rows_again_are_clear() -> None:
    """Pairs on which the model answers alike: the drop is 0, with an interval below δ where rows are enough."""
    validation = a_pass(2000, error=0.1)
    shifted = a_shifted(validation, pairs=np.stack([np.arange(2000)] * 2, axis=1))
    given = {"validation": validation, "shifted": shifted, "labels": shifted_labels(validation), "facts": facts()}
    found = measured(**given)
    assert found.headroom is not None
    assert found.headroom.value == 0
    assert verdict(measure, given) == "clear"
    assert "over pairs of 2000 rows" in found.summary


def test_without_labels_nothing_is_proven() -> None:
    """However large the guesses, the verdict stays open, and the way to know is told."""
    given = artifacts(nearer=0.2, k=0)
    found = measured(**given)
    assert found.headroom is None
    assert verdict(measure, given) == "undetermined"
    assert found.estimates["confidence"].low > found.estimates["validation"].value
    assert {"threshold", "confidence", "two_sample_auc", "validation"} == set(found.estimates)
    assert "labels=100" in found.summary
    assert found.details[0].title == "Shares of the decisions"
    asked = artifacts(k=0, labels=shifted_labels(bayes(900, 1), 0, asked=("a", "b")))
    assert "the 2 random rows of to_label.csv" in measured(**asked).summary


def test_a_budget_of_labels_widens_the_interval() -> None:
    """The labels of 100 rows cover the truth that all 900 do, in a wider interval: chance of missing .05 (fixed)."""
    truth = 1000 * stats.norm.cdf(-0.5)
    few, all_ = (measured(**artifacts(nearer=0.5, k=k)).estimates for k in (100, None))
    assert few["shifted"].low < truth < few["shifted"].high
    assert few["shifted"].high - few["shifted"].low > 1.5 * (all_["shifted"].high - all_["shifted"].low)
    assert "by 100 labels" in measured(**artifacts(nearer=0.5, k=100)).summary


def test_shares_of_the_classes_are_shown() -> None:
    validation, there = a_pass(1000, error=0.1, classes=3), a_pass(600, error=0.1, classes=3)
    some = there.take(there.y != 2)
    given = artifacts(
        validation=validation,
        shifted=a_shifted(some, validation=1000),
        labels=shifted_labels(some),
        facts=facts(classes=("a", "b", "c")),
    )
    (table,) = measured(**given).details
    assert table.title == "Shares of the classes"
    assert table.data["rows"][0][0] == "c"
    assert table.data["rows"][0][2].startswith("0.0 (0.0 to 1.")


def test_a_regression_has_labels_only() -> None:
    """RMSE from 1 to 2; without labels nothing is guessed."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    validation = PassData.of_values(y[:2000] + rng.normal(size=2000), y[:2000])
    there = PassData.of_values(y[2000:] + 2 * rng.normal(size=1000), y[2000:])
    about = facts(task="regression", metric=Metric("rmse"), classes=())
    shifted = a_shifted(there, validation=2000, apart=1.0)
    found = measured(validation=validation, shifted=shifted, labels=shifted_labels(there), facts=about)
    assert found.headroom.low < 1 < found.headroom.high
    assert set(found.estimates) == {"validation", "shifted", "drop", "two_sample_auc"}
    few = measured(validation=validation, shifted=shifted, labels=shifted_labels(there, 100), facts=about)
    assert few.headroom.high - few.headroom.low > found.headroom.high - found.headroom.low
    none = measured(validation=validation, shifted=shifted, labels=shifted_labels(there, 0), facts=about)
    assert set(none.estimates) == {"validation", "two_sample_auc"}


@pytest.mark.slow
@pytest.mark.parametrize("metric", [Metric("log-loss"), Metric("auc"), Metric(np.array([[0, 1], [5, 0]]))])
def test_every_metric_has_its_own_drop(metric: Metric) -> None:
    found = measured(**artifacts(nearer=0.4, facts=facts(metric=metric)))
    assert found.headroom.low > 0
    assert found.headroom.unit == metric.unit


def test_a_model_that_is_surer_there_fools_both_guesses() -> None:
    """Logits three times as large and labels turned: the guesses say fewer errors, the labels more."""
    there = calibrated_pass(900, seed=1)
    turned = PassData.of_logits(3 * there.logits.astype(float), np.where(np.arange(900) % 3, there.y, 1 - there.y))
    given = artifacts(
        validation=calibrated_pass(1500), shifted=a_shifted(turned, validation=1500), labels=shifted_labels(turned)
    )
    found = measured(**given).estimates
    assert found["drop"].low > 0
    assert max(found[name].high for name in ("threshold", "confidence")) < found["shifted"].low
