"""What unseen rows get: as worked out row by row."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from uncork.derived.out_of_sample import error_rows, half_score, log_probabilities, probabilities, values
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.testing.pools import a_pool


def of_values(seed: int = 0, n: int = 60) -> PoolData:
    """A pool of regressions."""
    rng = np.random.default_rng(seed)
    made = a_pool(n, 20, classes=2)
    outputs = rng.normal(size=(len(made), n, 1)).astype(np.float32)
    changes = {"task": "regression", "on_train": outputs, "on_validation": outputs[:, :20], "y": rng.normal(size=n)}
    return a_pool(n, 20, classes=2, validation_y=rng.normal(size=20), **changes)


def test_log_probabilities_row_by_row() -> None:
    pool = a_pool(150, 20, halves=6, flipped=0.1)
    found, members = log_probabilities(pool), pool.members(2)
    for i in range(150):
        out = [m for m in members if not pool.trained_on[m, i]]
        assert len(out) == 3
        each = [np.maximum(log_softmax(pool.on_train[m, i].astype(float)), np.log(1e-12)) for m in out]
        np.testing.assert_allclose(found[i], log_softmax(np.mean(each, axis=0)), atol=2e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(probabilities(pool).sum(axis=1), 1, rtol=1e-5)


def test_a_model_that_is_sure_of_the_contrary_does_not_decide_alone() -> None:
    """Three models give class 0 probability ~1, one gives it e^-60000: cut at 1e-12, class 0 still wins."""
    pool = a_pool(16, 4, classes=2, halves=8)
    logits = np.zeros_like(pool.on_train)
    logits[:, :, 1] = -100.0
    mine = [m for m in pool.members(2) if not pool.trained_on[m, 0]]
    logits[mine[0], 0] = [-60_000.0, 0.0]
    found = log_probabilities(a_pool(16, 4, classes=2, halves=8, on_train=logits))
    cut = np.log(1e-12) / 4
    np.testing.assert_allclose(found[0], log_softmax([cut, 3 * cut]), atol=1e-5)
    assert np.isfinite(found).all()


def test_only_models_that_have_not_seen_the_row() -> None:
    """What models say of rows that they learnt by heart changes nothing."""
    pool = a_pool(80, 20, memorised=False)
    learnt = a_pool(80, 20, memorised=True)
    assert not np.array_equal(pool.on_train, learnt.on_train)
    np.testing.assert_array_equal(log_probabilities(pool), log_probabilities(learnt))


def test_of_chosen_members() -> None:
    pool = a_pool(100, 20, halves=8, quarters=4, arms={"lr-x8": 0.2})
    two = pool.members(2)[:2]
    one_each = np.where(pool.trained_on[two[0]][:, None], pool.on_train[two[1]], pool.on_train[two[0]]).astype(float)
    np.testing.assert_allclose(probabilities(pool, two), softmax(one_each, axis=1), atol=1e-5)
    arm = pool.members(2, "lr-x8")
    assert not np.array_equal(probabilities(pool, arm), probabilities(pool))
    assert log_probabilities(pool, pool.members(4)).shape == (100, 3)


def test_of_regression() -> None:
    pool = of_values()
    members = pool.members(2)
    for i in range(60):
        out = [m for m in members if not pool.trained_on[m, i]]
        assert values(pool)[i] == pytest.approx(np.mean([float(pool.on_train[m, i, 0]) for m in out]))
    mae = error_rows(pool, Metric("mae"))
    out = [m for m in members if not pool.trained_on[m, 7]]
    assert mae[7] == pytest.approx(np.mean([abs(pool.on_train[m, 7, 0] - pool.y[7]) for m in out]))


@pytest.mark.parametrize("metric", ["error", "accuracy", "log-loss", "cost"])
def test_error_rows_row_by_row(metric: str) -> None:
    pool = a_pool(90, 20, halves=4, flipped=0.2)
    cost = np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    found = error_rows(pool, Metric(cost if metric == "cost" else metric))
    for i in range(90):
        out = [pool.on_train[m, i].astype(float) for m in pool.members(2) if not pool.trained_on[m, i]]
        part = {
            "error": lambda z, i=i: z.argmax() != pool.y[i],
            "accuracy": lambda z, i=i: z.argmax() == pool.y[i],
            "log-loss": lambda z, i=i: -log_softmax(z)[pool.y[i]],
            "cost": lambda z, i=i: cost[pool.y[i], z.argmax()],
        }[metric]
        assert found[i] == pytest.approx(np.mean([part(z) for z in out]), abs=1e-5)


def test_score_of_a_half() -> None:
    """Mean over members of the error on their own unseen rows, s.e. from the differences of complementary halves."""
    pool = a_pool(400, 20, error=0.2, flipped=0.1)
    found = half_score(pool, Metric("error"))
    each = [
        1000 * np.mean(pool.on_train[m].argmax(axis=1)[unseen] != pool.y[unseen])
        for m in pool.members(2)
        if (unseen := ~pool.trained_on[m]).any()
    ]
    assert found.value == pytest.approx(np.mean(each))
    assert found.value == pytest.approx(1000 * error_rows(pool, Metric("error")).mean())
    apart = np.diff(np.reshape(each, (4, 2)), axis=1)
    assert found.se == pytest.approx(np.sqrt(np.square(apart).mean() / 4))
    assert found.unit == "errors per 1,000"
    assert half_score(a_pool(100, 20, halves=0), Metric("error")).value is None


def test_score_of_a_half_covers() -> None:
    """True error .2 of fresh pools (which share no rows); at a true 95 % fewer than 51 of 60 intervals cover with a
    chance below 1 in 1,000 (fixed seeds)."""
    covered = 0
    for seed in range(60):
        found = half_score(a_pool(200, 20, error=0.2, full=0, seed=seed), Metric("error"))
        covered += found.low <= 200 <= found.high
    assert covered >= 51


def test_rows_that_all_have_seen_are_refused() -> None:
    pool = a_pool(40, 20, halves=4)
    for wanted in (pool.members(1), pool.members(2)[:1], []):
        with pytest.raises(ValueError, match="complementary"):
            log_probabilities(pool, wanted)
        with pytest.raises(ValueError, match="complementary"):
            error_rows(pool, Metric("error"), wanted)


def test_once_per_pool_and_read_only() -> None:
    pool, twin = a_pool(40, 20), a_pool(40, 20)
    assert log_probabilities(pool) is log_probabilities(pool, pool.members(2).tolist())
    assert log_probabilities(pool) is not log_probabilities(twin)
    with pytest.raises(ValueError, match="read-only"):
        log_probabilities(pool)[0] = 0
    there = weakref.ref(pool)
    del pool
    gc.collect()
    assert there() is None


def test_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = log_probabilities(a_pool(101, 20))
    monkeypatch.setattr("uncork.derived.out_of_sample._BLOCK", 7)
    np.testing.assert_array_equal(log_probabilities(a_pool(101, 20)), whole)
