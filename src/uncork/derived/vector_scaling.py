"""One factor and one number for each class's log-probability, held to the temperature where rows are few.

p_k^w_k · e^b_k, normalised. Log-probabilities stand for the logits, which are known up to a number per row: so what
is found does not depend on that number. Sources: vector scaling, Guo et al., ICML 2017; on log-probabilities it is the
diagonal case of Dirichlet calibration, Kull et al., NeurIPS 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from uncork.derived.order import random_half
from uncork.derived.temperature import best_temperature, cross_entropy
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: S.d. of ln(factor · temperature) and of the numbers added, as held to beforehand; 0 is the temperature alone.
SPREADS = (0.0, 0.1, 0.5)
_FOLDS = 3
_UNTIL = {"maxiter": 100, "ftol": 1e-7, "gtol": 1e-4}


def fit_vector_scaling(
    logits: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """(factor, number added) of each class, float64; 1 / temperature and 0 where that does better on rows held out.

    Least log-loss + Σ (ln(factor · temperature)² + added²) / (2 n spread²), by L-BFGS from the temperature; of
    `SPREADS` the one of least log-loss in three folds, the smallest of those alike.
    """
    classes, fold = logits.shape[1], rng.permutation(len(y)) % _FOLDS
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    held_out = np.zeros(len(SPREADS))
    for k in range(_FOLDS):
        fit, out = fold != k, fold == k
        cold = 1 / best_temperature(logits[fit], y[fit])
        for i, spread in enumerate(SPREADS):
            factor, added = _fit(log_p[fit], y[fit], cold, spread)
            held_out[i] += cross_entropy(log_p[out] * factor + added, y[out], 1.0).sum()
    cold = 1 / best_temperature(logits, y)
    spread = SPREADS[int(held_out.argmin())]
    return _fit(log_p, y, cold, spread) if spread else (np.full(classes, cold), np.zeros(classes))


def vector_scaling_gain(passed: PassData, rng: np.random.Generator) -> Estimate:
    """Fall of the log-loss in nats by vector scaling beyond the temperature of the same rows.

    Cross-fitted: both are fitted on one random half and scored on the other, both ways. Unit: one row, or one group;
    undetermined with a single one.
    """
    half = random_half(passed, rng)
    if not half.any():
        return Estimate(None, None, None, "nats", 1, "t over groups of rows (one group: undetermined)")
    gained = np.empty(len(passed))
    for fit, judged in ((half, ~half), (~half, half)):
        factor, added = fit_vector_scaling(passed.logits[fit], passed.y[fit], rng)
        cold = best_temperature(passed.logits[fit], passed.y[fit])
        y, logits = passed.y[judged], passed.logits[judged].astype(np.float64)
        scaled = log_softmax(logits, axis=1) * factor + added
        gained[judged] = cross_entropy(logits, y, cold) - cross_entropy(scaled, y, 1.0)
    return mean(gained, clusters=passed.clusters, unit="nats")


def _fit(
    log_p: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], cold: float, spread: float
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    n, classes = log_p.shape
    if spread == 0:
        return np.full(classes, cold), np.zeros(classes)
    at = np.arange(n)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        factor = cold * np.exp(x[:classes])
        moved = log_p * factor + x[classes:]
        moved -= moved.max(axis=1, keepdims=True)
        off = np.exp(moved)
        total = off.sum(axis=1, keepdims=True)
        value = (np.log(total[:, 0]) - moved[at, y]).mean()
        off /= total
        off[at, y] -= 1
        slope = np.concatenate([np.einsum("nk,nk->k", off, log_p) * factor, off.sum(axis=0)]) / n
        return float(value + x @ x / (2 * n * spread**2)), slope + x / (n * spread**2)

    found = minimize(loss, np.zeros(2 * classes), jac=True, method="L-BFGS-B", options=_UNTIL).x
    return cold * np.exp(found[:classes]), found[classes:]
