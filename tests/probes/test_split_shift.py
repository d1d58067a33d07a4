"""split-shift: brute force, no shift covered, planted shifts found, the size of labels' shift."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from uncork.probes.split_shift import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(pool: PoolData, metric: Any = "error", **known: Any) -> dict[str, Any]:
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    return {"pool": pool, "facts": facts(metric=metric, **known)}


def pool_of(n: int = 800, v: int = 500, **changes: Any) -> PoolData:
    return a_pool(n=n, v=v, halves=4, full=0, **changes)


def test_keeps_the_contract() -> None:
    check_probe(measure, lambda: given(pool_of()), null=lambda seed: given(pool_of(3000, 3000, seed=seed)), seeds=40)
    groups = {"clusters": np.arange(800) // 4, "validation_clusters": np.arange(500) // 4}
    check_probe(measure, lambda: given(pool_of(**groups), "log-loss"))


@pytest.mark.parametrize("changes", [{"flipped_validation": 0.06}, {"flipped": 0.06}])
def test_a_planted_shift_is_found_either_way(changes: dict[str, float]) -> None:
    """6 % of labels wrong in one split add 48 to 52 per 1,000 to its error, as 10 % of three classes' are wrong."""
    measured = measure(**given(pool_of(8000, 8000, **changes)), rng=generator(0))
    found = measured.estimates
    truth = 60 * (1 - 0.1 - 0.1 / 2) * (1 if "flipped_validation" in changes else -1)
    assert found["shift"].low <= truth <= found["shift"].high
    # Only the harder side opens the gate: wrong labels of train are another finding.
    easier = "flipped" in changes
    assert verdict(measure, given(pool_of(8000, 8000, **changes))) == ("clear" if easier else "bottleneck")
    assert ("Validation is the easier one" in measured.summary) == easier


def test_rows_that_repeat_by_nature_are_not_compared() -> None:
    pool = dataclasses.replace(pool_of(2000, 2000), repeated=0.05)
    outcome = measure(**given(pool), rng=generator(0))
    assert isinstance(outcome, NotApplicable)
    assert outcome.reason.startswith("5 % of the rows of validation also stand in train")


def test_no_shift_with_much_evidence_is_clear() -> None:
    assert verdict(measure, given(pool_of(20_000, 20_000))) == "clear"


def test_a_shift_of_the_tolerated_size_is_not_called_clear() -> None:
    """True shift 2 δ = 10 per 1,000: clear is wrong, and comes at 2.5 % or less. 60 draws exceed the region's end once
    in 1,000 (fixed seeds)."""
    share = 0.01 / 0.85
    pools = (pool_of(10_000, 10_000, flipped_validation=share, seed=seed) for seed in range(60))
    wrong = sum(verdict(measure, given(pool)) == "clear" for pool in pools)
    assert wrong <= stats.binom.ppf(1 - 1e-3, 60, 0.025)


@pytest.mark.parametrize("metric", ["error", "log-loss", "auc"])
def test_no_shift_is_covered(metric: str) -> None:
    """At a true 95 %, 200 intervals cover 0 less often than the region's end with a chance of 1 in 1,000 (fixed
    seeds)."""
    classes = 2 if metric == "auc" else 3
    pools = (pool_of(400, 300, classes=classes, seed=seed, error=0.15) for seed in range(200))
    found = [measure(**given(pool, metric), rng=generator(0)).estimates["shift"] for pool in pools]
    assert sum(s.low <= 0 <= s.high for s in found) >= stats.binom.ppf(1e-3, 200, 0.95)


def test_both_sides_by_brute_force() -> None:
    pool = pool_of(flipped=0.1)
    new, unseen = [], np.full((4, 800), np.nan)
    for member in range(4):
        out = ~pool.trained_on[member]
        unseen[member, out] = (pool.on_train[member].argmax(axis=1) != pool.y)[out]
        new.append((pool.on_validation[member].argmax(axis=1) != pool.validation_y).mean())
    found = measure(**given(pool), rng=generator(0)).estimates
    assert found["unseen_train"].value == pytest.approx(1000 * np.nanmean(unseen))
    assert found["shift"].value == pytest.approx(1000 * (np.mean(new) - np.nanmean(unseen)))
    right = measure(**given(pool, "accuracy"), rng=generator(0)).estimates["shift"]
    assert right.value == pytest.approx(found["shift"].value)


def test_auc_is_the_mean_of_the_models() -> None:
    pool = pool_of(classes=2, error=0.2)
    sides = {"new": [], "unseen": []}
    for member in range(4):
        out = ~pool.trained_on[member]
        score = np.diff(pool.on_train[member].astype(float), axis=1)[:, 0]
        sides["unseen"].append(roc_auc_score(pool.y[out], score[out]))
        sides["new"].append(
            roc_auc_score(pool.validation_y, np.diff(pool.on_validation[member].astype(float), axis=1)[:, 0])
        )
    found = measure(**given(pool, "auc"), rng=generator(0)).estimates["shift"]
    assert found.value == pytest.approx(np.mean(sides["unseen"]) - np.mean(sides["new"]), abs=1e-6)


def test_shift_of_the_labels() -> None:
    """Thirds against a half and two quarters: the largest difference is 1/6, which all classes' intervals hold."""
    pool = pool_of(3000, 2000)
    other = dataclasses.replace(pool, validation_y=np.array([0, 0, 1, 2])[np.arange(2000) % 4])
    found = measure(**given(other), rng=generator(0)).estimates["label_shift"]
    assert found.value == pytest.approx(1 / 6)
    assert 0.1 < found.low < 1 / 6 < found.high < 0.23
    same = measure(**given(pool), rng=generator(0)).estimates["label_shift"]
    assert same.low == 0


def test_shift_of_the_labels_covers() -> None:
    """Both splits drawn, one class 5 points oftener. The intervals hold at 95 % or more; 200 cover less often than the
    region's end with a chance of 1 in 1,000 (fixed seeds)."""
    pool, covered = pool_of(400, 300), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, new = rng.choice(3, 400, p=[0.4, 0.3, 0.3]), rng.choice(3, 300, p=[0.45, 0.28, 0.27])
        found = measure(**given(dataclasses.replace(pool, y=y, validation_y=new)), rng=generator(0))
        covered += found.estimates["label_shift"].low <= 0.05 <= found.estimates["label_shift"].high
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)


def test_regression() -> None:
    rng = np.random.default_rng(0)
    y, new = rng.normal(size=2000), rng.normal(0.5, 1, size=1500)
    pool = pool_of(2000, 1500)
    pool = dataclasses.replace(
        pool,
        task="regression",
        y=y,
        validation_y=new,
        on_train=(y + rng.normal(size=(4, 2000)))[:, :, None].astype(np.float32),
        on_validation=(new + rng.normal(0, 1.3, size=(4, 1500)))[:, :, None].astype(np.float32),
    )
    artifacts = given(pool, "rmse", task="regression", classes=())
    check_probe(measure, lambda: artifacts)
    found = measure(**artifacts, rng=generator(0)).estimates
    assert found["shift"].low <= 0.3 <= found["shift"].high
    assert found["label_shift"].low <= 0.5 <= found["label_shift"].high
    assert verdict(measure, artifacts) == "bottleneck"


def test_not_applicable() -> None:
    assert measure(**given(no_pool("no recipe")), rng=generator(0)) == NotApplicable("no recipe")
    few = measure(**given(a_pool(halves=2)), rng=generator(0))
    assert isinstance(few, NotApplicable)
    mine = Metric(lambda p, y: 0.0, higher_is_better=False, name="mine")
    assert isinstance(measure(**given(pool_of(), mine), rng=generator(0)), NotApplicable)
