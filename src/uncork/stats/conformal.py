"""Prediction sets and intervals that hold the truth as often as asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def conformal_quantile(scores: Float[np.ndarray, " n"], coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest score; infinite where n is too small for that coverage.

    With exchangeable rows a new row's score lies at or below it with probability ≥ `coverage`, on average over
    calibration sets (Vovk, Gammerman & Shafer 2005; Papadopoulos et al. 2002).
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def least_ambiguous_sets(
    probability: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], fresh: Float[np.ndarray, "m k"], coverage: float
) -> Bool[np.ndarray, "m k"]:
    """Sets for `fresh` rows: every class whose probability is at least the calibrated threshold.

    Calibrated on `probability`, `y`; score 1 − probability of the label (Sadinle, Lei & Wasserman, JASA 114, 2019).
    """
    scores = 1 - probability[np.arange(len(y)), y]
    sets: Bool[np.ndarray, "m k"] = 1 - fresh <= conformal_quantile(scores, coverage)
    return sets
