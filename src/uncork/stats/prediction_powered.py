"""A share known for few rows and predicted for many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson, effective_ends
from uncork.stats.means import satterthwaite

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_FEWEST = 5


def prediction_powered_share(
    truth: Bool[np.ndarray, " n"],
    predicted: Float[np.ndarray, " n"],
    predicted_elsewhere: Float[np.ndarray, " others"],
    *,
    weight: float | None = None,
    unit: str = "share",
    level: float = 0.95,
) -> Estimate:
    """Share of true rows in the population that the n rows and the others are drawn from, predictions of any quality.

    mean(truth − λ predicted) + λ mean(predicted elsewhere), where λ (`weight`) = 0 is the plain share, 1 the first
    version (Angelopoulos et al., Science 382, 2023), and None the λ in [0, 1] of least variance (PPI++, arXiv
    2311.01453). The rows whose truth is known must be a random subset, and not have trained the predictor.
    Interval: a normal one covers .78 to .96 where 2 to 20 % of 100 or 150 rows are true. So Clopper–Pearson on the
    effective number of rows as in `korn_graubard`, with the degrees of freedom of `satterthwaite`, and with one more
    row counted that the predictions miss by as much as they can, since few rows may show none of those they do.
    Clopper–Pearson on the n rows alone where fewer than 5 are true (or untrue), or where that is narrower and `weight`
    is None. Simulated over sharp, vague, biased, useless and partly blind predictions: .95 to 1, at .45 to 1 of the
    width that the n rows alone have, .6 to .95 with useful predictions where 5 to 10 % are true.
    Unit: one row, independent.
    """
    n, others = len(truth), len(predicted_elsewhere)
    true = int(np.sum(truth))
    plain = clopper_pearson(true, n, unit=unit, level=level)
    if min(true, n - true) < _FEWEST or others < 2:
        return plain
    tuned = weight is None
    if weight is None:
        spread = (1 + n / others) * float(np.var(np.concatenate([predicted, predicted_elsewhere]), ddof=1))
        weight = float(np.clip(np.cov(truth, predicted)[0, 1] / spread, 0.0, 1.0)) if spread > 0 else 0.0
    errors = truth - weight * np.asarray(predicted, np.float64)
    value = float(errors.mean() + weight * np.mean(predicted_elsewhere))
    se = math.sqrt(float(errors.var(ddof=1)) / n + weight**2 * float(np.var(predicted_elsewhere, ddof=1)) / others)
    usual = weight * float(np.median(predicted))
    residuals = np.append(errors - errors.mean(), max(1 - usual, usual))
    variance = se**2 + residuals[-1] ** 2 / (n * (n - 1))
    inside = min(max(value, 0.5 / n), 1 - 0.5 / n)
    low, high = effective_ends(inside, inside * (1 - inside) / variance, n - 1, satterthwaite(residuals), level)
    if tuned and plain.low is not None and plain.high is not None and high - low >= plain.high - plain.low:
        return plain
    value = min(max(value, low), high)
    method = "prediction-powered, Clopper–Pearson over rows"
    return Estimate(value, low, high, unit, n, method, se, satterthwaite(residuals), level)
