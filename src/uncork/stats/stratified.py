"""Comparing two samples class by class, so that different shares of the classes don't count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

PRIOR = 20.0  # rows


def stratified_auc(
    score: Float[np.ndarray, " n"], new: Bool[np.ndarray, " n"], strata: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " n"]]:
    """(P(a new row's score is larger than an old row's of the same class; ties count half), each row's influence on it,
    with mean 0): the classes' AUCs, weighted by m·n / (m + n) of their m new and n old rows.

    Weights are taken as known; those are best where the classes' AUCs are alike (van Elteren, Bull. Inst. Int. Stat.
    37, 1960). Influences are DeLong's structural components, scaled as in `auc_influence`. Every class needs 2 new and
    2 old rows.
    """
    rows, total = len(score), 0.0
    auc, each = 0.0, np.zeros(rows)
    for c in np.unique(strata):
        own = np.flatnonzero(strata == c)
        positive = new[own]
        m, n = int(positive.sum()), int((~positive).sum())
        overall, within = rankdata(score[own]), np.empty(len(own))
        within[positive], within[~positive] = rankdata(score[own][positive]), rankdata(score[own][~positive])
        beaten = np.where(positive, (overall - within) / n, 1 - (overall - within) / m)
        value, weight = float(beaten[positive].mean()), m * n / (m + n)
        scale = [rows / k * np.sqrt(k / max(k - 1, 1) * (rows - 1) / rows) for k in (m, n)]
        each[own] = weight * (beaten - value) * np.where(positive, *scale)
        auc, total = auc + weight * value, total + weight
    return auc / total, each / total


def standardised(
    old: Float[np.ndarray, " n"], old_strata: Int[np.ndarray, " n"], new: Float[np.ndarray, " v"], strata: np.ndarray
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " v"]]:
    """(old, new), linearised so that the difference of their means compares the two at the new rows' shares of classes.

    The mean of the first is that of the old classes' means at those shares, taken as known: direct standardisation, or
    post-stratification (Lohr, Sampling, 2022, §4.4). The mean of the second is that of `new`, and it varies as what new
    rows have over their class's old mean does, since the shares are themselves drawn with the new rows. Both hold the
    same classes, each with 2 old rows or more.
    """
    classes, which, counts = np.unique(old_strata, return_inverse=True, return_counts=True)
    at = np.searchsorted(classes, strata)
    share, means = np.bincount(at, minlength=len(classes)) / len(at), np.bincount(which, weights=old) / counts
    level = float(share @ means)
    weight = share * len(old) / counts * np.sqrt(counts / (counts - 1))
    return level + weight[which] * (old - means[which]), new - means[at] + level


def hidden_variance(
    old: Float[np.ndarray, " n"], old_strata: Int[np.ndarray, " n"], strata: Int[np.ndarray, " v"]
) -> float:
    """What the variance of `standardised`'s first mean may lack, where a class that counts much has few old rows: they
    may agree by chance. A class's variance is moderated as if 20 further rows told of it, by the classes' pooled one
    where that is larger (as in Smyth, Stat. Appl. Genet. Mol. 3, 2004); this is what that adds, of independent rows.
    """
    classes, which, counts = np.unique(old_strata, return_inverse=True, return_counts=True)
    share = (strata[:, None] == classes).mean(axis=0)
    means = np.bincount(which, weights=old) / counts
    square = np.bincount(which, weights=np.square(old - means[which]))
    own, pooled = square / (counts - 1), square.sum() / (len(old) - len(classes))
    more = PRIOR / (PRIOR + counts - 1) * np.maximum(pooled - own, 0.0)
    return float(np.sum(np.square(share) / counts * more))
