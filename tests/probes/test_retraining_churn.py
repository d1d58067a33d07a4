"""retraining-churn: brute force, the closed form of binary seed variance, verdicts on both sides of δ."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uncork.probes.retraining_churn import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(pool: PoolData, metric: Any = "error", **known: Any) -> dict[str, Any]:
    return {"pool": pool, "facts": facts(metric=metric if isinstance(metric, Metric) else Metric(metric), **known)}


def deciding(right: np.ndarray, **changes: Any) -> PoolData:
    """A two-class pool of full models, of which right[m, i] says who is right on row i."""
    m, v = right.shape
    y = np.arange(v) % 2
    logits = np.where((np.where(right, y, 1 - y)[:, :, None] == np.arange(2)), 1.0, 0.0)
    made = a_pool(n=20, v=v, classes=2, halves=0, full=m)
    return dataclasses.replace(made, on_validation=logits.astype(np.float16), validation_y=y, **changes)


def drawn(sd: float, seed: int, v: int = 5_000) -> PoolData:
    """Three trainings whose error is exactly normal about 100 per 1,000, but for the rounding to rows."""
    errors = np.random.default_rng(seed).normal(0.1, sd / 1000, 3)
    return deciding(np.arange(v)[None] >= np.round(errors * v)[:, None])


def test_keeps_the_contract() -> None:
    """Null: the s.d. is δ, of which "more than δ" is wrong and comes at 2.5 %."""
    check_probe(measure, lambda: given(a_pool(v=500, halves=0)), null=lambda seed: given(drawn(5.0, seed)), seeds=60)
    groups = a_pool(v=500, halves=0, validation_clusters=np.arange(500) // 5)
    check_probe(measure, lambda: given(groups, "log-loss"))


def test_verdict_follows_the_spread() -> None:
    assert verdict(measure, given(drawn(60.0, 0))) == "bottleneck"
    assert verdict(measure, given(drawn(0.3, 1))) == "clear"
    assert verdict(measure, given(drawn(5.0, 2))) == "undetermined"


def test_churn_by_brute_force() -> None:
    pool = a_pool(v=300, halves=0, full=4)
    decided = [pool.validation_pass(i).predicted for i in range(4)]
    pairs = [(decided[a] != decided[b]).mean() for a in range(4) for b in range(a)]
    found = measure(**given(pool), rng=generator(0))
    assert found.estimates["churn"].value == pytest.approx(np.mean(pairs))
    assert found.headroom.value == pytest.approx(1000 * np.mean(pairs))
    assert "of these 4 trainings" in found.estimates["churn"].method


def test_churn_covers_what_these_models_do_on_new_rows() -> None:
    """Three models fixed: on rows in four kinds, decided differently by 0 or 2 of 3 pairs. At a true 95 %, 200
    intervals cover less often than the region's end with a chance of 1 in 1,000 (fixed seeds)."""
    kinds = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0]], bool)
    share = np.array([0.85, 0.06, 0.04, 0.05])
    truth, covered = 0.1 * 2 / 3, 0
    for seed in range(200):
        right = kinds[np.random.default_rng(seed).choice(4, size=400, p=share)].T
        churn = measure(**given(deciding(right)), rng=generator(0)).estimates["churn"]
        covered += churn.low <= truth <= churn.high
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)


def test_binary_seed_variance_is_error_over_2n() -> None:
    """Rows whose label is drawn from the models' own share of votes: Var = E q(1 − q) / n = error / 2n. The s.d. of 120
    trainings leaves its χ² region with a chance of 2 in 1,000 (fixed seed)."""
    rng, v = np.random.default_rng(0), 2000
    votes = rng.beta(0.3, 0.3, v)
    right = (rng.random((120, v)) < votes) == (rng.random(v) < votes)
    pool = deciding(right)
    found = measure(**given(pool), rng=generator(0))
    error = 1 - right.mean()
    closed = 1000 * np.sqrt(error / (2 * v))
    region = closed * np.sqrt(stats.chi2.ppf([1e-3, 1 - 1e-3], 119) / 119)
    assert region[0] <= found.estimates["seed_sd"].value <= region[1]
    alone = found.estimates["seed_sd_of_rows_alone"]
    exact = 1000 * np.sqrt((right.mean(axis=0) * (1 - right.mean(axis=0))).sum() * 120 / 119) / v
    assert alone.value == pytest.approx(exact)  # the pairs' share is the unbiased variance of each row
    assert alone.value == pytest.approx(closed, rel=0.03)


def test_smallest_difference_by_hand() -> None:
    """(1.96 + .84) · √2 · s, whose power at that difference is .8 where s is the truth."""
    found = measure(**given(drawn(10.0, 3)), rng=generator(0)).estimates
    factor = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * np.sqrt(2)
    for end in ("value", "low", "high"):
        assert getattr(found["resolvable"], end) == pytest.approx(factor * getattr(found["seed_sd"], end))
    rng = np.random.default_rng(0)
    difference = rng.normal(factor, np.sqrt(2), 20_000)
    assert (difference > stats.norm.ppf(0.975) * np.sqrt(2)).mean() == pytest.approx(0.8, abs=0.01)


def test_regression_and_callables() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    values = y + rng.normal(size=(3, 500))
    pool = a_pool(
        v=500, halves=0, task="regression", on_validation=values[:, :, None].astype(np.float32), validation_y=y
    )
    known = given(pool, "rmse", task="regression", classes=())
    check_probe(measure, lambda: known)
    found = measure(**known, rng=generator(0))
    assert found.estimates["seed_sd"].value == pytest.approx(np.std(np.sqrt(((values - y) ** 2).mean(axis=1)), ddof=1))
    assert found.estimates["prediction_change"].low <= 2 / np.sqrt(np.pi) <= found.estimates["prediction_change"].high
    assert found.headroom is None
    mine = Metric(lambda p, y: float(np.mean(p.argmax(axis=1) != y)), higher_is_better=False, name="mine", delta=0.01)
    same = measure(**given(a_pool(v=60, halves=0), mine), rng=generator(0)).estimates["seed_sd"]
    error = measure(**given(a_pool(v=60, halves=0)), rng=generator(0)).estimates["seed_sd"]
    assert 1000 * same.value == pytest.approx(error.value)


def test_not_applicable() -> None:
    assert measure(**given(no_pool("no recipe")), rng=generator(0)) == NotApplicable("no recipe")
    few = measure(**given(a_pool(full=2, left_out={"full": "it costs too much"})), rng=generator(0))
    assert isinstance(few, NotApplicable)
    assert "2 of 3" in few.reason
    assert "it costs too much" in few.reason
