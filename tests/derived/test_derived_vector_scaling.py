"""Vector scaling: planted factors come back, few rows stay with the temperature, and the loss is the least there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from uncork.derived import vector_scaling
from uncork.derived.temperature import best_temperature
from uncork.derived.vector_scaling import fit_vector_scaling, vector_scaling_gain
from uncork.schema.artifacts import PassData
from uncork.schema.seeds import generator

FACTOR, ADDED = np.array([0.4, 1.0, 0.7, 0.4]), np.array([0.6, -0.4, 0.0, -0.2])


def stated(n: int, seed: int, factor: np.ndarray = FACTOR, added: np.ndarray = ADDED) -> tuple[np.ndarray, np.ndarray]:
    """(log-probabilities as stated, labels drawn from what these factors and numbers make of them)."""
    rng = np.random.default_rng(seed)
    log_p = log_softmax(3 * rng.normal(size=(n, 4)), axis=1)
    return log_p, (log_p * factor + added + rng.gumbel(size=(n, 4))).argmax(axis=1)


def loss(log_p: np.ndarray, y: np.ndarray, factor: np.ndarray, added: np.ndarray) -> float:
    return float(-log_softmax(log_p * factor + added, axis=1)[np.arange(len(y)), y].mean())


def test_planted_factors_come_back() -> None:
    """20,000 rows: standard errors of the factors about 3 %, of the numbers about .05; four of them allowed."""
    log_p, y = stated(20_000, 0)
    factor, added = fit_vector_scaling(log_p, y, generator(0))
    np.testing.assert_allclose(factor, FACTOR, rtol=0.12)
    np.testing.assert_allclose(added - added.mean(), ADDED - ADDED.mean(), atol=0.2)
    assert loss(*stated(20_000, 1), factor, added) < loss(*stated(20_000, 1), FACTOR, ADDED) + 1e-3


def test_what_a_row_shares_plays_no_part() -> None:
    log_p, y = stated(800, 2)
    shifted = log_p + np.random.default_rng(0).normal(size=(800, 1))
    first, second = (fit_vector_scaling(z, y, generator(0)) for z in (log_p, shifted))
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_least_penalised_loss_by_a_search_without_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nelder-Mead and Powell of SciPy find nothing lower, from where ours ends and from the temperature."""
    log_p, y = stated(300, 3)
    monkeypatch.setattr(vector_scaling, "SPREADS", (0.5,))
    factor, added = fit_vector_scaling(log_p, y, generator(0))
    cold = 1 / best_temperature(log_p, y)

    def penalised(x: np.ndarray) -> float:
        return loss(log_p, y, cold * np.exp(x[:4]), x[4:]) + x @ x / (2 * 300 * 0.5**2)

    ours = np.concatenate([np.log(factor / cold), added])
    for start in (ours, np.zeros(8)):
        searched = minimize(penalised, start, method="Powell", options={"xtol": 1e-6, "ftol": 1e-10}).fun
        assert penalised(ours) <= searched + 1e-5


@pytest.mark.parametrize("n", [60, 300, 2000])
def test_where_one_temperature_is_right_little_is_lost(n: int) -> None:
    """Logits × 2.5, mean over 10 draws: of eight numbers fitted freely (n = 60) the loss would be about 8 / 2n higher;
    here at most a third of that."""
    lost = []
    for seed in range(10):
        flat = np.full(4, 0.4)
        log_p, y = stated(n, seed, flat, np.zeros(4))
        factor, added = fit_vector_scaling(log_p, y, generator(seed))
        cold = 1 / best_temperature(log_p, y)
        fresh = stated(4000, seed + 100, flat, np.zeros(4))
        lost.append(loss(*fresh, factor, added) - loss(*fresh, np.full(4, cold), np.zeros(4)))
    assert np.mean(lost) < 8 / (2 * n) / 3


def test_gain_is_what_fresh_rows_show_and_none_where_there_is_none() -> None:
    log_p, y = stated(4000, 5)
    gain = vector_scaling_gain(PassData.of_logits(log_p, y), generator(0))
    fresh = stated(50_000, 6)
    cold = 1 / best_temperature(*fresh)
    truth = loss(*fresh, np.full(4, cold), np.zeros(4)) - loss(*fresh, FACTOR, ADDED)
    assert gain.low <= truth <= gain.high
    assert gain.low > 0.5 * truth > 0.01
    none = vector_scaling_gain(PassData.of_logits(*stated(1500, 7, np.full(4, 0.4), np.zeros(4))), generator(0))
    assert none.value < 0.005
    alone = PassData.of_logits(log_p, y, clusters=np.zeros(4000, int))
    assert not vector_scaling_gain(alone, generator(0)).determined
