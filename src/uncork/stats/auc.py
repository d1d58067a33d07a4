"""The area under the ROC curve: what each row adds to it, and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, stats
from scipy.special import expit, logit

from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate
from uncork.stats.means import clustered, df_of_sum
from uncork.stats.stratified import stratified_auc

if TYPE_CHECKING:
    from jaxtyping import Float

_PRIOR = 200.0  # degrees of freedom


def auc_influence(passed: PassData) -> tuple[float, Float[np.ndarray, " n"]]:
    """(AUC, each row's influence on it, with mean 0): DeLong's structural components (Biometrics 44, 1988)."""
    if passed.logits.shape[1] != 2:
        raise BadInput(f"metric 'auc' is for two classes, the model has {passed.logits.shape[1]}: use 'log-loss'")
    # The 32-bit margin orders rows that 16-bit logits would tie.
    score = np.where(passed.y == 1, passed.margin, -passed.margin).astype(np.float64)
    positive = passed.y == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n0 == 0:
        raise BadInput("metric 'auc' needs rows of both classes")
    return stratified_auc(score, positive, np.zeros(len(score), np.int64))


def of_two_classes(
    estimate: Estimate, each: Float[np.ndarray, " n"], passed: PassData, *, single: bool = False
) -> Estimate:
    """The t interval of an AUC, or of a difference of two, from the s.e. in `estimate`: the rarer class decides.

    Satterthwaite's degrees of freedom over the two classes, and for a single AUC (`single`) on the logit scale
    (Pepe, The Statistical Evaluation of Medical Tests, 2003, §5.2). That alone comes out too high near 1, where few
    rows of a class set the s.e.: of independent rows each end is the further of it and of `_newcombe`. Fewer than 10
    rows of a class, or no variation (but for a single AUC of 0 or 1 of independent rows): undetermined.
    Simulated coverage at 95 % for binormal scores of AUC .76, .92 and .97, positives half, as and twice as spread, a
    half or a tenth of rows: .95 to .99 with 10 positives (logit alone: .84 to .99), .94 to .99 with 50 (.87 to .97) and
    .94 to .98 with 300 (.93 to .96).
    """
    positive, level = passed.y == 1, estimate.level
    smaller = int(min(positive.sum(), (~positive).sum()))
    value, se, df = estimate.value, estimate.se, estimate.df
    groups = clustered(passed.clusters, len(passed))
    method = f"DeLong t over {'groups of rows' if groups else 'rows'}"
    if smaller >= 10 and value in (0.0, 1.0) and single and not groups:
        low, high = _newcombe(value, None, smaller, len(passed) - smaller, level)
        return Estimate(value, low, high, estimate.unit, estimate.n, "Newcombe's method 5 over rows", level=level)
    if smaller < 10 or value is None or se is None or df is None:
        method += " (too few of a class, or no variation: undetermined)"
        return Estimate(value, None, None, estimate.unit, estimate.n, method, level=level)
    if not groups:
        parts = [(float(np.square(each[c]).sum()), int(c.sum()) - 1) for c in (positive, ~positive)]
        df = df_of_sum(parts)
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    low, high = value - half, value + half
    if single:
        centre, half = float(logit(value)), half / (value * (1 - value))
        low, high = float(expit(centre - half)), float(expit(centre + half))
    if single and not groups:
        others = _newcombe(value, (se, df), smaller, len(passed) - smaller, level)
        low, high, method = min(low, others[0]), max(high, others[1]), f"{method}, joined with Newcombe's"
    return Estimate(value, low, high, estimate.unit, estimate.n, method, se, df, level)


def _newcombe(auc: float, found: tuple[float, float] | None, m: int, n: int, level: float) -> tuple[float, float]:
    """Every AUC from which the one found is within z standard errors, which the AUC and the class sizes alone set.

    Hanley & McNeil's variance with both class sizes at their mean: Newcombe, Stat. Med. 25, 2006, method 5. It holds
    for few rows, but its shape is only assumed: scaled by the variance found over it at the AUC found, as far as
    `found` = (s.e., degrees of freedom) outweighs 200 degrees (moderated as in Smyth, Stat. Appl. Genet. Mol. 3, 2004).
    """
    z, more = float(stats.norm.ppf((1 + level) / 2)), (m + n) / 2 - 1

    def variance(x: float) -> float:
        return x * (1 - x) * (1 + more * ((1 - x) / (2 - x) + x / (1 + x))) / (m * n)

    scale = 1.0 if found is None else (_PRIOR + found[1] * found[0] ** 2 / variance(auc)) / (_PRIOR + found[1])

    def beyond(x: float) -> float:
        return (auc - x) ** 2 - z * z * scale * variance(x)

    tiny = 1e-9
    low = 0.0 if auc < tiny else float(optimize.brentq(beyond, 0.0, min(auc, 1 - tiny)))
    high = 1.0 if auc > 1 - tiny else float(optimize.brentq(beyond, max(auc, tiny), 1.0))
    return low, high
