"""What can be guaranteed when the model may decline to answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

#: Thresholds on confidence, fixed before any data: dense near 1, where they matter.
GRID = 1 - np.geomspace(1e-7, 1.0, 400)


@dataclass(frozen=True)
class Certificate:
    """A threshold (None if there is none) with P(precision of its answers ≥ `precision`) ≥ `confidence`."""

    threshold: float | None
    precision: float
    confidence: float
    answered: int
    errors: int
    n: int


def learn_then_test(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    precision: float,
    level: float = 0.95,
) -> Certificate:
    """The lowest threshold whose answers are right with at least `precision`, guaranteed at `level`.

    Fixed-sequence testing from the strictest threshold down over a grid fixed beforehand, each test an exact binomial
    of the errors among the answered rows; it begins where enough rows are answered for a pass to be possible at all,
    and ends at the first failure (Angelopoulos et al., Learn then Test, arXiv 2110.01052).
    Unit: one row, independent. The guarantee is over draws of these rows, for the population, not for one answer.
    """
    alpha = 1 - level
    enough = math.ceil(math.log(alpha) / math.log(precision))
    order = np.argsort(-confidence, kind="stable")
    errors_so_far = np.r_[0, np.cumsum(~correct[order])]
    answered = np.searchsorted(-confidence[order], -GRID, side="right")
    best = Certificate(None, precision, level, 0, 0, len(confidence))
    for threshold, m in zip(GRID, answered, strict=True):
        if m < enough:
            continue
        errors = int(errors_so_far[m])
        if stats.binom.cdf(errors, m, 1 - precision) > alpha:
            break
        best = Certificate(float(threshold), precision, level, int(m), errors, len(confidence))
    return best


def answered_share(certificate: Certificate, level: float = 0.95) -> Estimate:
    """Share of the population that a certificate's threshold answers.

    The threshold was chosen on the same rows, so the band must hold at all thresholds at once:
    Dvoretzky–Kiefer–Wolfowitz with Massart's constant (Ann. Probab. 18, 1990). Unit: one row.
    """
    n = certificate.n
    half = math.sqrt(math.log(2 / (1 - level)) / (2 * n)) if n else 1.0
    share = certificate.answered / n if n else 0.0
    low = max(0.0, share - half) if certificate.threshold is not None else 0.0
    # Without a threshold nothing is answered, and that is a fact of the certificate, not an estimate.
    high = min(1.0, share + half)
    return Estimate(share, low, high, "share answered", n, "DKW band over rows", level=level)


def risk_coverage(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], points: int = 50
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"], float]:
    """(coverage, error among the answered, area under the curve), most confident rows first.

    AURC: Geifman, Uziel & El-Yaniv, ICLR 2019; the mean of the error over all coverages.
    Rows that tie in confidence count with the mean error of their tie.
    """
    values, which = np.unique(-confidence, return_inverse=True)
    per_tie = np.bincount(which, weights=~correct) / np.bincount(which)
    del values
    order = np.argsort(-confidence, kind="stable")
    risk = np.cumsum(per_tie[which][order]) / np.arange(1, len(confidence) + 1)
    at = np.unique(np.linspace(1, len(confidence), points).round().astype(int))
    return at / len(confidence), risk[at - 1], float(risk.mean())
