"""cheapest_offset: the best cut of two classes, no coordinate to better of more, and no change where none gains."""

from __future__ import annotations

import numpy as np
import pytest

from uncork.derived.cheapest_offset import cheapest_offset

ERROR = 1.0 - np.eye(2)


def drawn(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels drawn from their softmax, and a cost matrix that asks for other thresholds."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, k)).astype(np.float32)
    y = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    return logits, y, rng.uniform(0.2, 5, (k, k)) * (1 - np.eye(k))


def mean_cost(logits: np.ndarray, y: np.ndarray, cost: np.ndarray) -> float:
    return float(cost[y, logits.argmax(axis=1)].mean())


@pytest.mark.parametrize("seed", range(10))
def test_two_classes_brute_force(seed: int) -> None:
    logits, y, cost = drawn(60, 2, seed)
    offset, before, after = cheapest_offset(logits, y, cost)
    grid = np.linspace(-12, 12, 20_001)
    best = min(mean_cost(logits + np.array([0, o]), y, cost) for o in grid[::4])
    assert after <= best + 1e-12
    assert before == mean_cost(logits, y, cost)
    assert after == pytest.approx(mean_cost((logits + offset).astype(np.float32), y, cost))


@pytest.mark.parametrize("seed", range(5))
def test_no_single_class_can_gain_any_more(seed: int) -> None:
    logits, y, cost = drawn(80, 4, seed)
    offset, before, after = cheapest_offset(logits, y, cost)
    assert after < before
    for c in range(4):
        for step in np.linspace(-10, 10, 2001):
            moved = offset.copy()
            moved[c] += step
            assert mean_cost(logits + moved, y, cost) >= after - 1e-12


def test_the_bayes_threshold_of_a_cost_is_found() -> None:
    """Missing class 1 costs 9: it is decided from p = .1 on, an offset of log 9; s.e. about .05 at 200,000 rows."""
    logits, y, _ = drawn(200_000, 2, 0)
    offset, _, _ = cheapest_offset(logits, y, np.array([[0.0, 1.0], [9.0, 0.0]]))
    assert offset[1] - offset[0] == pytest.approx(np.log(9), abs=0.3)


def test_where_nothing_gains_nothing_moves() -> None:
    y = np.arange(40) % 2
    offset, before, after = cheapest_offset(np.eye(2)[y], y, ERROR)
    assert before == after == 0
    np.testing.assert_array_equal(offset, 0)


def test_equal_lags_are_not_cut_between() -> None:
    """All rows alike: they can only be decided together, for the commoner class."""
    y = (np.arange(10) < 4).astype(int)
    offset, before, after = cheapest_offset(np.tile([0.0, 1.0], (10, 1)), y, ERROR)
    assert (before, after) == (0.6, 0.4)
    assert offset[1] < -1
