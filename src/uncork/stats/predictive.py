"""Are errors as large as a stated distribution says? Estimates from probability integral transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def pit_deviation(pit: Float[np.ndarray, " n"], *, level: float = 0.95) -> Estimate:
    """Largest gap between the share of rows below a stated quantile and what the quantile states (Kolmogorov).

    pit[i]: the stated distribution function of row i at its target; uniform on (0, 1) where what is stated is true
    (Gneiting, Balabdaoui & Raftery, J. R. Statist. Soc. B 69, 2007). Biased upwards by noise: compare with `pit_null`.
    Interval: value ± √(ln(2/α) / 2n), which by the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart (Ann. Prob.
    18, 1990) and the triangle's covers at least as often at every n. Unit: one row, independent.
    """
    n = len(pit)
    if n == 0:
        return Estimate(None, None, None, "share of rows", 0, "DKW over rows", level=level)
    value = float(kolmogorov(pit[None])[0])
    margin = math.sqrt(math.log(2 / (1 - level)) / (2 * n))
    low, high = max(0.0, value - margin), min(1.0, value + margin)
    return Estimate(value, low, high, "share of rows", n, "DKW over rows", level=level)


def kolmogorov(pit: Float[np.ndarray, "d n"]) -> Float[np.ndarray, " d"]:
    """sup |empirical distribution − uniform| of each row of `pit`."""
    n = pit.shape[1]
    u = np.sort(pit, axis=1)
    steps = np.arange(n + 1) / n
    found: Float[np.ndarray, " d"] = np.maximum(steps[1:] - u, u - steps[:-1]).max(axis=1)
    return found


def pit_null(fitted: int, judged: int, rng: np.random.Generator, *, draws: int = 200) -> Float[np.ndarray, " draws"]:
    """Sorted Kolmogorov distances of `judged` normal errors whose scale was fitted on as many as `fitted` others.

    Whatever the scale is, it cancels. The fitted one differs from the truth, which a table of the Kolmogorov
    distribution leaves out.
    """
    found = np.empty(draws)
    for i in range(draws):
        scale = math.sqrt(rng.chisquare(fitted) / fitted)
        found[i] = kolmogorov(special.ndtr(rng.standard_normal((1, judged)) / scale))[0]
    return np.sort(found)


def coverages(pit: Float[np.ndarray, " n"], levels: Sequence[float]) -> dict[float, Estimate]:
    """Share of rows inside the central interval of each stated level: Clopper–Pearson. Unit: one row, independent."""
    return {
        p: clopper_pearson(int(inside(pit, p).sum()), len(pit), unit=f"share inside ({p:g} stated)") for p in levels
    }


def inside(pit: Float[np.ndarray, " n"], level: float) -> Bool[np.ndarray, " n"]:
    """Whether each row lies in the central interval of that level."""
    held: Bool[np.ndarray, " n"] = np.abs(pit - 0.5) <= level / 2
    return held
