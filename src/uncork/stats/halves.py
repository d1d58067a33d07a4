"""Intervals for members trained on complementary halves of train, which are not independent of each other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.crossed import Part, by_unit, rows_part, spread, t_over

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def complementary(
    values: Float[np.ndarray, "r 2"] | Float[np.ndarray, "r 2 n"],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    unit: str,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of a statistic over fresh train sets of half the size (and fresh rows, where there are rows).

    values[r, j]: the statistic of the member trained on half j of permutation r; values[r, j, i]: row i's part of it.
    Paired arms: their differences. The grand mean has the variance V of the data drawn, estimated by
    mean_r (D_r1 − D_r2)²/4 with R d.f. Why: let D be linear in train's N rows, D_rj = θ + mean of φ over half j. The
    two halves make up train, so that (D_r1 + D_r2)/2 = θ + mean of φ over train whatever the permutation, with
    variance Var φ/N; and (D_r1 − D_r2)/2 has mean 0 and, over permutations, that same variance. More members never
    shrink it, so that s/√k, for k = 2R members about √(Var φ/(N(k − 1))), is too small by √(k − 1): its t covers
    .79 (k = 4), .58 (8), .40 (16), .28 (32) where .95 is promised.
    Seed noise τ² of a member adds τ²/2 to V but τ²/(2R) to the grand mean: conservative, the more so with large R.
    Assumes D near linear in the rows of train, and permutations drawn independently; unit: the permutation.
    With rows: plus σ_r²/n as in `crossed` (unit: row, or cluster), and `t_over`'s quantile.
    `se_seeds` is √V, what more rows to evaluate on do not shrink; only more train rows do, hence no `seeds`.
    Half-sampling: McCarthy, Rev. Int. Stat. Inst. 37, 1969.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (2, 3) or values.shape[1] != 2:
        raise ValueError(f"values has shape {values.shape}: give (permutations, 2) or (permutations, 2, rows)")
    permutations, by_rows = len(values), values.ndim == 3
    method = f"complementary halves, t over {permutations} permutation{'s' if permutations != 1 else ''}"
    if values.size == 0:
        return Estimate(None, None, None, unit, 0, method, level=level)
    value = float(values.mean())
    means = values.mean(axis=2) if by_rows else values
    data = float(np.square(means[:, 0] - means[:, 1]).mean()) / 4
    parts, units = [Part(data, permutations)], 2 * permutations
    if not by_rows and data <= (1e-12 * max(1.0, abs(value))) ** 2:
        method += " (all agree: undetermined)"
        return Estimate(value, None, None, unit, permutations, method, level=level)
    if by_rows:
        n = values.shape[2]
        apart = by_unit((values[:, 0] - values[:, 1] - (means[:, :1] - means[:, 1:])) / 2, clusters)
        residual = spread(apart, n) / permutations
        data = max(data, residual)  # as in `seed_variance`
        average = by_unit((values.mean(axis=(0, 1)) - value)[None], clusters)[0]
        units = len(average)
        parts = [Part(data, permutations), rows_part(average, n, residual)]
        method += f" × {'rows' if units == n else 'groups of rows'}"
    found = t_over(value, parts, bounds, unit, units, method, level)
    return replace(found, n=units if by_rows else permutations, se_seeds=None if found.se is None else math.sqrt(data))
