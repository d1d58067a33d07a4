"""What votes over noisy copies of a row certify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def certified_radius(
    votes: Int[np.ndarray, " n"], copies: int, sigma: float, *, alpha: float = 0.001
) -> Float[np.ndarray, " n"]:
    """(n,) L2 distance, in the units of x, within which the smoothed model's decision can't change; NaN: it abstains.

    `votes`: for a class that was chosen on other copies, out of `copies` with Gaussian noise of s.d. `sigma`. Radius
    σ Φ⁻¹(p), p the one-sided Clopper–Pearson bound of its share; a half or less certifies nothing. Each row's holds
    with probability 1 − `alpha` over the noise. Unit: one noisy copy, independent. At 100,000 copies and α = .001 no
    radius exceeds 3.81 σ. Source: Cohen, Rosenfeld & Kolter, ICML 2019 (arXiv 1902.02918), theorem 1 and Certify.
    """
    k = np.asarray(votes, np.float64)
    low = np.where(k > 0, stats.beta.ppf(alpha, np.maximum(k, 1), copies - k + 1), 0.0)
    radius: Float[np.ndarray, " n"] = np.where(low > 0.5, sigma * stats.norm.ppf(np.maximum(low, 0.5)), np.nan)
    return radius


def outvotes(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], *, alpha: float = 0.001
) -> Bool[np.ndarray, " n"]:
    """Whether the class with most votes is likelier under noise than the next, each wrongly so with at most `alpha`.

    Exact two-sided binomial test of first against second at a half: Hung & Fithian, Annals of Statistics 47, 2019; as
    Predict in Cohen, Rosenfeld & Kolter.
    """
    found: Bool[np.ndarray, " n"] = 2 * stats.binom.sf(np.asarray(first) - 1, first + second, 0.5) <= alpha
    return found
