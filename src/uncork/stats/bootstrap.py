"""Bootstrap intervals, for figures that have no formula of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Int

RESAMPLES = 999
_JACKKNIFE_LIMIT = 1000  # BCa evaluates the figure once per unit more; beyond this percentile intervals agree


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " m"]], float],
    clusters: Int[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    unit: str,
    level: float = 0.95,
) -> Estimate:
    """Any figure of the rows. `statistic` takes positions of rows (with repetitions) and returns a float.

    Unit: one cluster (a row where each is its own). BCa up to 1,000 units, percentile above, 999 resamples:
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993; computed by SciPy.
    Fewer than 10 units, or a figure that does not vary: undetermined.
    """
    from scipy import stats

    _, which = np.unique(clusters, return_inverse=True)
    order = np.argsort(which, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(which))[:-1])
    units = len(members)
    value = float(statistic(np.arange(len(clusters))))
    method = "BCa" if units <= _JACKKNIFE_LIMIT else "percentile"
    label = f"{method} bootstrap over {'rows' if units == len(clusters) else 'groups of rows'}"
    if units < 10:
        return Estimate(value, None, None, unit, units, f"{label} (too few: undetermined)", level=level)

    def resampled(chosen: np.ndarray) -> float:
        return float(statistic(np.concatenate([members[int(c)] for c in chosen])))

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # said below, as undetermined
        result = stats.bootstrap(
            (np.arange(units),),
            resampled,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method=method,
            vectorized=False,
            rng=rng,
        )
    se = float(result.standard_error)
    low, high = map(float, result.confidence_interval)
    if not se > 0 or not np.isfinite([low, high]).all():
        return Estimate(value, None, None, unit, units, f"{label} (no variation: undetermined)", level=level)
    return Estimate(value, low, high, unit, units, label, se, units - 1, level)
