"""What can be guaranteed when the model may decline to answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from uncork.schema.certificate import Certificate
from uncork.schema.finding import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Counts = Int[np.ndarray, " t"]

#: Thresholds on confidence, fixed before any data: dense near 1, where they matter.
GRID = 1 - np.geomspace(1e-7, 1.0, 400)


def learn_then_test(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    precision: float,
    level: float = 0.95,
) -> Certificate:
    """The lowest threshold whose answers are right with at least `precision`, guaranteed at `level`.

    Each test is an exact binomial of the errors among the answered rows, from the strictest threshold down over a grid
    fixed beforehand (Angelopoulos et al., Learn then Test, arXiv 2110.01052). Fallback procedure (Wiens, Pharm. Stat.
    2, 2003): α is split over J starts, the first where enough rows are answered for a pass to be possible at all, each
    next one at four times as many; a pass hands its α on to the next threshold, a failure loses it. A single start
    would end with one unlucky error among the surest rows. Starts depend on how many rows are answered, never on
    whether they are right. Unit: one row, independent. The guarantee is over draws of these rows, for the population,
    not for one answer.
    """
    answered, errors = _above(confidence), _above(confidence[~correct])
    return _lowest(answered, errors, len(confidence), precision, level)


def cascade(
    first: Float[np.ndarray, " n"],
    first_correct: Bool[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    second_correct: Bool[np.ndarray, " n"],
    *,
    precision: float,
    level: float = 0.95,
) -> Certificate:
    """As `learn_then_test`, of two models with one threshold: the second answers what the first is not sure enough of.

    At a threshold a row is answered where either's confidence reaches it, by the first where its own does. Each
    threshold's errors are counted as they would be made, so the guarantee is of all answers, whoever gives them.
    """
    answered = _above(np.maximum(first, second))
    errors = _above(first[~first_correct]) + _above(second[~second_correct])
    errors -= _above(np.minimum(first, second)[~second_correct])  # there the first has answered already
    return _lowest(answered, errors, len(first), precision, level)


def _above(confidence: Float[np.ndarray, " m"]) -> Counts:
    """How many reach each threshold of the grid."""
    return np.searchsorted(np.sort(-confidence), -GRID, side="right")


def _lowest(answered: Counts, errors: Counts, n: int, precision: float, level: float) -> Certificate:
    """The walk down the grid, from how many are answered at each threshold and how many of them wrong."""
    alpha = 1 - level
    starts = _starts(n, precision, alpha)
    p_values = special.bdtr(errors, answered, 1 - precision)
    spending = np.diff(np.searchsorted(starts, answered, side="right"), prepend=0) * alpha / len(starts)
    best = Certificate(None, precision, level, 0, 0, n)
    to_spend = 0.0
    for i in range(len(GRID)):
        to_spend += float(spending[i])
        if to_spend > 0 and p_values[i] <= to_spend:
            best = Certificate(float(GRID[i]), precision, level, int(answered[i]), int(errors[i]), n)
        else:
            to_spend = 0.0
    return best


def _starts(n: int, precision: float, alpha: float) -> list[int]:
    """How many rows must be answered where each start begins: known before any data but their number."""

    def first(starts: int) -> int:
        return math.ceil(math.log(alpha / starts) / math.log(precision))

    count = max(1, max((j for j in range(1, 6) if first(j) * 4 ** (j - 1) <= n), default=1))
    return [first(count) * 4**j for j in range(count)]


def fewest_rows(precision: float, level: float = 0.95) -> int:
    """Rows below which no threshold can be certified, were all of them answered and right."""
    return math.ceil(math.log(1 - level) / math.log(precision))


def rows_needed(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], *, precision: float, level: float = 0.95
) -> int | None:
    """About how many rows like these a threshold could be certified on; None where no number would do.

    The same shares answered and wrong at every threshold (wrong by Laplace's rule, since few errors in few rows are no
    errors in many), on √2, 2, 2√2, … times as many rows, up to 1,024 times.
    """
    answered, errors = _above(confidence), _above(confidence[~correct])
    rate = (errors + 1) / (answered + 2)
    for times in (2 ** (np.arange(21) / 2)).tolist():
        more = np.floor(answered * times).astype(np.int64)
        n = math.ceil(len(confidence) * times)
        wrong = np.minimum(np.ceil(rate * more).astype(np.int64), more)
        if _lowest(more, wrong, n, precision, level).threshold is not None:
            needed: int = max(n, fewest_rows(precision, level))
            return needed
    return None


def answered_share(certificate: Certificate, level: float = 0.95) -> Estimate:
    """Share of the population that a certificate's threshold answers; undetermined where it has no threshold.

    The threshold was chosen on the same rows, so the band must hold at all thresholds at once:
    Dvoretzky–Kiefer–Wolfowitz with Massart's constant (Ann. Probab. 18, 1990). Unit: one row.
    """
    n = certificate.n
    if certificate.threshold is None:
        return Estimate(None, None, None, "share answered", n, "no threshold could be certified", level=level)
    half = math.sqrt(math.log(2 / (1 - level)) / (2 * n))
    share = certificate.answered / n
    low, high = max(0.0, share - half), min(1.0, share + half)
    return Estimate(share, low, high, "share answered", n, "DKW band over rows", level=level)


def risk_coverage(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], points: int = 50
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"], float]:
    """(coverage, error among the answered, area under the curve), most confident rows first.

    AURC: Geifman, Uziel & El-Yaniv, ICLR 2019; the mean of the error over all coverages.
    Rows that tie in confidence count with the mean error of their tie.
    """
    _, which = np.unique(-confidence, return_inverse=True)
    per_tie = np.bincount(which, weights=~correct) / np.bincount(which)
    order = np.argsort(-confidence, kind="stable")
    risk = np.cumsum(per_tie[which][order]) / np.arange(1, len(confidence) + 1)
    at = np.unique(np.linspace(1, len(confidence), points).round().astype(int))
    return at / len(confidence), risk[at - 1], float(risk.mean())
