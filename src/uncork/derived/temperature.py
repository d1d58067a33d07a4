"""The temperature that makes logits most likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from uncork.derived.order import random_half
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_BLOCK = 65_536  # rows widened to 64 bits at a time


def cross_entropy(
    logits: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], temperature: float
) -> Float[np.ndarray, " n"]:
    """Each row's loss in nats with logits / temperature."""
    loss = np.empty(len(y))
    for start in range(0, len(y), _BLOCK):
        labels = y[start : start + _BLOCK]
        cold = logits[start : start + _BLOCK].astype(np.float64) / temperature
        cold -= cold.max(axis=1, keepdims=True)
        loss[start : start + _BLOCK] = np.log(np.exp(cold).sum(axis=1)) - cold[np.arange(len(labels)), labels]
    return loss


def best_temperature(logits: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"]) -> float:
    """The temperature of least mean cross-entropy, between 1/50 and 50 (Guo et al., ICML 2017)."""
    found = minimize_scalar(
        lambda log_t: cross_entropy(logits, y, float(np.exp(log_t))).mean(),
        bounds=(-np.log(50), np.log(50)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def temperature_gain(passed: PassData, rng: np.random.Generator) -> Estimate:
    """Fall of the log-loss in nats by a temperature.

    Cross-fitted: fitted on one random half and scored on the other, both ways. Unit: one row, or one group;
    undetermined with a single one.
    """
    half = random_half(passed, rng)
    if not half.any():
        return Estimate(None, None, None, "nats", 1, "t over groups of rows (one group: undetermined)")
    gained = np.empty(len(passed))
    for fit, judged in ((half, ~half), (~half, half)):
        t = best_temperature(passed.logits[fit], passed.y[fit])
        logits, y = passed.logits[judged], passed.y[judged]
        gained[judged] = cross_entropy(logits, y, 1.0) - cross_entropy(logits, y, t)
    return mean(gained, clusters=passed.clusters, unit="nats")
