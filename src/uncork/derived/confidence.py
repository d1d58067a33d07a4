"""How sure the model says it is, and whether it is right."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from uncork.schema.artifacts import PassData

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@functools.lru_cache(maxsize=4)
def probabilities(passed: PassData) -> Float[np.ndarray, "n k"]:
    """Softmax of the logits in 32 bits."""
    result: Float[np.ndarray, "n k"] = softmax(passed.logits.astype(np.float32), axis=1)
    return result


@functools.lru_cache(maxsize=4)
def confidence(passed: PassData) -> Float[np.ndarray, " n"]:
    """The largest probability of each row."""
    result: Float[np.ndarray, " n"] = probabilities(passed).max(axis=1).astype(np.float64)
    return result


@functools.lru_cache(maxsize=4)
def correct(passed: PassData) -> Bool[np.ndarray, " n"]:
    """Whether each decision equals the label."""
    result: Bool[np.ndarray, " n"] = passed.predicted == passed.y
    return result
