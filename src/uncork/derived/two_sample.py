"""How well rows of validation can be told from rows of train of the same class."""

from __future__ import annotations

import numpy as np

from uncork.schema.artifacts import PassData, TwoSampleData
from uncork.schema.finding import Estimate
from uncork.stats.auc import of_two_classes
from uncork.stats.means import mean
from uncork.stats.stratified import stratified_auc

FEWEST = 2  # rows of either split, of a class in a fold that counts
UNIT = "AUC"


def effect(data: TwoSampleData, task: str) -> Estimate:
    """P(score of a row of validation > that of a row of train | same class and fold), ties counted half: the mean of
    the two folds, by `stratified_auc` and `of_two_classes`, for the classifiers that were fitted.

    Where the splits can't be told apart both folds' figures hang on one inner product, of what differs by chance in one
    fold and in the other: simulated, they correlate by .84 to .93. Their ends are averaged as if by 1, too wide
    elsewhere. Simulated coverage of .5 then: .95 to .98, with 200 rows and 60, or 1,000 and 500 of 256 columns.
    A class with fewer than 2 rows of either split in a fold is left out there; a fold without any: undetermined.
    """
    folds = [_of_fold(data.of_fold(fold), task) for fold in (0, 1)]
    n = sum(each.n for each in folds)
    method = f"mean of two folds' ends, {folds[0].method}"
    if any(each.value is None for each in folds):
        return Estimate(None, None, None, UNIT, n, "too few rows of a class: undetermined")
    value, low, high = (
        None if None in ends else float(np.mean(ends))
        for ends in ([getattr(each, end) for each in folds] for end in ("value", "low", "high"))
    )
    return Estimate(value, low, high, UNIT, n, method)


def _of_fold(data: TwoSampleData, task: str) -> Estimate:
    strata = np.unique(data.y, return_inverse=True)[1] if task == "classification" else np.zeros(len(data), np.int64)
    sides = [np.bincount(strata[side], minlength=strata.max(initial=0) + 1) for side in (data.new, ~data.new)]
    kept = np.minimum(*sides)[strata] >= FEWEST
    if not kept.any():
        return Estimate(None, None, None, UNIT, 0, "too few rows")
    new, clusters = data.new[kept], data.clusters[kept]
    auc, each = stratified_auc(data.score[kept].astype(np.float64), new, strata[kept])
    found = mean(each + auc, clusters=clusters, unit=UNIT)
    if found.se is None and auc in (0.0, 1.0):
        # No row is out of place: that many of the rarer side's groups tell how many might be.
        rarer = new if 2 * new.sum() <= len(new) else ~new
        return mean(np.full(int(rarer.sum()), auc), clusters=clusters[rarer], unit=UNIT, bounds=(0.0, 1.0))
    told = PassData.of_logits(np.zeros((len(new), 2)), new.astype(np.int64), clusters=clusters)
    return of_two_classes(found, each, told, single=True)
