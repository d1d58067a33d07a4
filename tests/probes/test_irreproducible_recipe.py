"""irreproducible-recipe: one more training passes, another recipe does not, and little evidence says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.irreproducible_recipe import measure
from uncork.schema.artifacts import PassData
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(pool: PoolData, validation: PassData, metric: Any = "error", **known: Any) -> dict[str, Any]:
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    return {"pool": pool, "validation": validation, "facts": facts(metric=metric, **known)}


def another(seed: int = 0, v: int = 2000, error: float = 0.1, classes: int = 3) -> dict[str, Any]:
    """Three trainings, and a fourth of the given error as the checkpoint; rows as hard for all."""
    pool = a_pool(n=40, v=v, halves=0, classes=classes, seed=seed)
    made = a_pool(n=40, v=v, halves=0, classes=classes, full=4, seed=seed, error=error)
    return given(pool, made.validation_pass(3))


def test_keeps_the_contract() -> None:
    check_probe(measure, lambda: another(v=300), null=lambda seed: another(seed, 500), seeds=60)
    grouped = a_pool(n=40, v=300, halves=0, validation_clusters=np.arange(300) // 6)
    check_probe(measure, lambda: given(grouped, a_pool(n=40, v=300, halves=0, full=4).validation_pass(3), "log-loss"))


def test_another_recipe_is_found_better_or_worse() -> None:
    assert verdict(measure, another(error=0.2)) == "bottleneck"
    assert verdict(measure, another(error=0.02)) == "bottleneck"
    assert verdict(measure, another()) == "clear"
    better = measure(**another(error=0.02), rng=generator(0)).estimates
    assert better["difference"].low > 5
    assert better["beyond_retraining"].value == pytest.approx(better["difference"].low)


@pytest.mark.parametrize("metric", ["error", "accuracy", "log-loss", "auc"])
def test_difference_is_positive_where_the_checkpoint_is_better(metric: str) -> None:
    worse = {**another(error=0.3, classes=2), "facts": facts(metric=Metric(metric))}
    assert measure(**worse, rng=generator(0)).estimates["difference"].high < 0


def test_one_more_training_is_rarely_outside() -> None:
    """At 95 % or more, 200 fourth trainings lie inside less often than the region's end with a chance of 1 in 1,000
    (fixed seeds); as s is no less than the rows' luck they lie inside more often than that."""
    found = [measure(**another(seed, 300), rng=generator(0)).estimates["difference"] for seed in range(200)]
    inside = sum(d.low <= 0 <= d.high for d in found)
    assert inside >= stats.binom.ppf(1e-3, 200, 0.95)


def test_callable_is_scipys_two_sample_t() -> None:
    """No row's part of the metric is known, so that s is what the three figures say: equal variances, 1 against 3."""
    mine = Metric(lambda p, y: float(np.mean(p.argmax(axis=1) != y)), higher_is_better=False, name="mine")
    artifacts = {**another(1, 400), "facts": facts(metric=mine)}
    found = measure(**artifacts, rng=generator(0)).estimates["difference"]
    pool = artifacts["pool"]
    figures = [np.mean(pool.validation_pass(i).predicted != pool.validation_y) for i in range(3)]
    checkpoint = np.mean(artifacts["validation"].predicted != pool.validation_y)
    ends = stats.ttest_ind(figures, [checkpoint], equal_var=True).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_too_wide_to_pass_anything() -> None:
    """60 rows: one more training may differ by 150 per 1,000; being inside says nothing, being outside does."""
    assert verdict(measure, another(v=60)) == "undetermined"
    assert verdict(measure, another(v=60, error=0.9)) == "bottleneck"


def test_equal_trainings_prove_nothing_of_the_next() -> None:
    pool = a_pool(n=40, v=2000, halves=0)
    same = dataclasses.replace(pool, on_validation=pool.on_validation[[0, 0, 0]])
    assert verdict(measure, given(same, same.validation_pass(0))) == "undetermined"


def test_regression() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    values = (y + rng.normal(size=(3, 3000)))[:, :, None].astype(np.float32)
    pool = a_pool(n=40, v=3000, halves=0, task="regression", on_validation=values, validation_y=y)
    known = {"task": "regression", "classes": ()}
    like, unlike = (PassData.of_values(y + rng.normal(0, sd, 3000), y) for sd in (1.0, 1.5))
    assert verdict(measure, given(pool, unlike, "rmse", **known)) == "bottleneck"
    assert verdict(measure, given(pool, like, "rmse", **known)) in ("clear", "undetermined")
    check_probe(measure, lambda: given(pool, unlike, "rmse", **known))


def test_not_applicable() -> None:
    checkpoint = a_pool().validation_pass(0)
    assert measure(**given(no_pool("no recipe"), checkpoint), rng=generator(0)) == NotApplicable("no recipe")
    few = measure(**given(a_pool(full=2), checkpoint), rng=generator(0))
    assert isinstance(few, NotApplicable)
    other = measure(**given(a_pool(v=300), checkpoint), rng=generator(0))
    assert isinstance(other, NotApplicable)
    assert "same rows" in other.reason


def test_bounds_do_not_narrow_what_was_too_wide() -> None:
    """Figures 30, 430, 10 per 1,000: one more training may be anywhere from 0 to over 1,000; 500 passes nothing."""
    errors = (0.03, 0.43, 0.01, 0.5)
    passes = [a_pool(n=40, v=2000, halves=0, full=1, error=e).validation_pass(0) for e in errors]
    three = a_pool(n=40, v=2000, halves=0, full=3)
    outputs = np.stack([p.logits for p in passes[:3]])
    pool = dataclasses.replace(three, on_validation=outputs.astype(three.on_validation.dtype))
    found = measure(**given(pool, passes[3]), rng=generator(0))
    assert found.estimates["one_more_training"].low == 0.0
    assert found.estimates["beyond_retraining"].high is None
