"""What rows of one kind cost by being wrong more often than the rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.means import clustered, mean

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def excess(
    wrong: Bool[np.ndarray, " n"],
    rare: Bool[np.ndarray, " n"],
    level: float = 0.95,
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
) -> Estimate:
    """Errors per 1,000 that would go if the rows in `rare` were as often right as the rest. Unit: one row, or group."""
    n, m = len(wrong), int(rare.sum())
    method = "Agresti–Caffo t over rows"
    if m < 2 or n - m < 2:
        return Estimate(None, None, None, "errors per 1,000", m, f"{method} (too few rare rows)", level=level)
    if clustered(clusters, n):
        share, rest = float(wrong[rare].mean()), float(wrong[~rare].mean())
        off = np.where(rare, wrong - share, (rest - wrong) * m / (n - m)) + (rare - m / n) * (share - rest)
        linear = mean(off + m / n * (share - rest), clusters=clusters, unit="", level=level)
        return linear.scaled(1000, "errors per 1,000")
    shares, variances, adjusted = [], [], []
    for group in (rare, ~rare):
        hits, size = int(wrong[group].sum()), int(group.sum())
        p = (hits + 1) / (size + 2)
        shares.append(hits / size)
        adjusted.append(p)
        variances.append(p * (1 - p) / (size + 2))
    weight = 1000 * m / n
    se = weight * math.sqrt(sum(variances))
    half = float(stats.t.ppf((1 + level) / 2, m - 1)) * se
    centre = weight * (adjusted[0] - adjusted[1])
    value = weight * (shares[0] - shares[1])
    low, high = min(value, centre - half), max(value, centre + half)
    return Estimate(value, low, high, "errors per 1,000", n, method, se, m - 1, level)
