"""Binomial acceptance regions, and small passes made by hand."""

from __future__ import annotations

import numpy as np
from scipy import stats

from uncork.schema.artifacts import PassData

CHANCE = 1e-4  # of failing correct code, in each test that counts simulations


def accept(successes: int, trials: int, level: float, *, exact: bool = False) -> bool:
    """Whether so many successes are what a true rate of at least `level` (with `exact`: of `level`) would give.

    Correct code fails with probability at most CHANCE (each side, with `exact`).
    """
    low = stats.binom.cdf(successes, trials, level) >= CHANCE
    high = stats.binom.sf(successes - 1, trials, level) >= CHANCE
    return bool(low and (high or not exact))


def binary_pass(score: np.ndarray, y: np.ndarray, clusters: np.ndarray | None = None) -> PassData:
    """A two-class pass whose logit of class 1 over class 0 is `score`."""
    return PassData.of_logits(np.stack([np.zeros(len(score)), score], axis=1), y, clusters=clusters)


def decided_pass(wrong: np.ndarray, y: np.ndarray, clusters: np.ndarray | None = None, classes: int = 3) -> PassData:
    """A pass that is wrong exactly where asked."""
    predicted = np.where(wrong, (y + 1) % classes, y)
    logits = np.zeros((len(y), classes))
    logits[np.arange(len(y)), predicted] = 3.0
    return PassData.of_logits(logits, y, clusters=clusters)
