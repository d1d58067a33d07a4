"""How sure the model says it is, and whether it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from uncork.derived.memo import per_artifact
from uncork.schema.artifacts import PassData

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_BLOCK = 65_536  # rows widened to 32 bits at a time


def probabilities(passed: PassData) -> Float[np.ndarray, "n k"]:
    """Softmax of the logits in 32 bits."""
    result = np.empty(passed.logits.shape, np.float32)
    for start in range(0, len(passed), _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = softmax(passed.logits[block].astype(np.float32), axis=1)
    return result


def outputs(passed: PassData) -> Float[np.ndarray, "n ..."]:
    """What a callable metric takes: probabilities (n, K), or predicted values (n,)."""
    return probabilities(passed) if passed.task == "classification" else passed.predicted


@per_artifact
def confidence(passed: PassData) -> Float[np.ndarray, " n"]:
    """The largest probability of each row. Logits are stored with the row's largest at 0, so it is 1 / Σ exp."""
    result = np.empty(len(passed))
    for start in range(0, len(passed), _BLOCK):
        block = passed.logits[start : start + _BLOCK].astype(np.float32)
        result[start : start + _BLOCK] = 1 / np.exp(block).sum(axis=1, dtype=np.float64)
    return result


@per_artifact
def correct(passed: PassData) -> Bool[np.ndarray, " n"]:
    """Whether each decision equals the label."""
    result: Bool[np.ndarray, " n"] = passed.predicted == passed.y
    return result
