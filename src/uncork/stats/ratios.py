"""Intervals for factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Float


def geometric_mean(ratios: Float[np.ndarray, " n"], *, unit: str, level: float = 0.95) -> Estimate:
    """exp of the mean of ln(ratio), with the ends of that mean's t interval; ratios above 0.

    Unit: one ratio, independent; of n < 2 the ends are undetermined, and so they are where all are equal. It is the
    median of what the ratios are drawn from where their logarithms are symmetric.
    """
    logs = mean(np.log(np.asarray(ratios, np.float64)), unit=unit, level=level)
    value, low, high = (None if x is None else float(np.exp(x)) for x in (logs.value, logs.low, logs.high))
    return Estimate(value, low, high, unit, logs.n, f"{logs.method}, of logarithms", level=level)
