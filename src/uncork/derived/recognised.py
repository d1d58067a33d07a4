"""Which strangers pass for a model's own rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.strangers import StrangersData
from uncork.stats.auc import of_two_classes
from uncork.stats.binomial import share
from uncork.stats.conformal import conformal_quantile
from uncork.stats.means import mean
from uncork.stats.stratified import stratified_auc
from uncork.stats.tolerance import upper_threshold

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    Mask = Bool[np.ndarray, " n"]

OWN = "probability"  # what the model itself says, and its user sees
CONVENTION = 0.05  # of the known rows rejected: FPR at 95 % TPR
FEWEST = 2  # rows of either side, for an AUC


def units(data: StrangersData) -> Int[np.ndarray, " n"]:
    """Which rows vary together: those of a group; of classes left out, all rows of one model."""
    return np.where(data.model > 0, -data.model.astype(np.int64), data.clusters.astype(np.int64))


def accepted(data: StrangersData, score: str, limit: Callable[[np.ndarray], float | None]) -> Mask:
    """Rows that pass for known: no stranger than `limit` of the known rows that choose says, of each model its own.

    None of a model's passes where `limit` says None.
    """
    strangeness, passing = data.by(score), np.zeros(len(data), bool)
    for model in np.unique(data.model):
        own = data.model == model
        threshold = limit(strangeness[own & data.of("known") & data.chooses])
        if threshold is not None:
            passing[own] = strangeness[own] <= threshold
    return passing


def rejecting(rate: float) -> Callable[[np.ndarray], float]:
    """The limit beyond which `rate` of the known rows are expected."""
    return lambda known: conformal_quantile(known, 1 - rate)


def passing(data: StrangersData, rate: float) -> Mask:
    """What the model lets pass: the rows it answers where it hands some over, else by its own confidence."""
    return data.answered if data.hands_over else accepted(data, OWN, rejecting(rate))


def passed_share(data: StrangersData, passes: Mask, *kinds: str) -> Estimate:
    """Share of these kinds' rows that pass, of those that do not choose; the threshold is taken as it is."""
    rows = data.of(*kinds) & ~data.chooses
    found = share(passes[rows], units(data)[rows])
    return replace(found, unit="share of strangers", method=f"{found.method}, threshold as set{_of(data, rows)}")


def sureness(data: StrangersData, *kinds: str) -> Estimate:
    """Mean of the model's largest probability on these kinds' rows, of those that do not choose."""
    rows = data.of(*kinds) & ~data.chooses
    return mean(np.exp(-data.by(OWN)[rows]), clusters=units(data)[rows], unit="probability", bounds=(0.0, 1.0))


def rejected_share(data: StrangersData, passes: Mask) -> Estimate:
    """Share of the model's own rows that do not pass, of those that set no threshold."""
    rows = data.of("known") & ~data.chooses & (data.model == 0)
    found = share(~passes[rows], data.clusters[rows])
    return replace(found, unit="share of known rows", method=f"{found.method}, threshold as set")


def fpr(data: StrangersData, score: str, *kinds: str) -> Estimate:
    """Share of strangers that pass where 95 % of known rows are expected to."""
    return passed_share(data, accepted(data, score, rejecting(CONVENTION)), *kinds)


def auroc(data: StrangersData, score: str, *kinds: str, chooses: bool = False) -> Estimate:
    """P(a stranger is stranger than a known row; ties count half), of the rows that do not choose.

    DeLong over rows or groups. Of classes left out the mean of their AUROCs, each on its own model, and t over them.
    """
    rows = data.of("known", *kinds) & (data.chooses == chooses)
    if kinds == ("left-out",):
        each = [_auc(data, score, rows & (data.model == model)) for model in np.unique(data.model[data.of(*kinds)])]
        values = [found.value for found in each if found.value is not None]
        found = mean(np.array(values), unit="AUROC", bounds=(0.0, 1.0))
        return replace(found, method=f"t over classes left out, {found.n} of them")
    return _auc(data, score, rows & (data.model == 0))


def _auc(data: StrangersData, score: str, rows: Mask) -> Estimate:
    """Of one model's rows; undetermined with fewer than 2 on either side."""
    stranger, clusters = ~data.of("known")[rows], data.clusters[rows]
    if min(stranger.sum(), (~stranger).sum()) < FEWEST:
        return Estimate(None, None, None, "AUROC", int(rows.sum()), "too few rows: undetermined")
    value, each = stratified_auc(data.by(score)[rows], stranger, np.zeros(len(stranger), np.int64))
    told = PassData.of_logits(np.zeros((len(stranger), 2)), stranger.astype(np.int64), clusters=clusters)
    return of_two_classes(mean(each + value, clusters=clusters, unit="AUROC"), each, told, single=True)


def best_score(data: StrangersData, rate: float) -> str:
    """The score by which the fewest of the deciding strangers' choosing half pass; of equal ones, the larger AUROC."""
    rows = data.of(*data.deciding) & data.chooses

    def key(score: str) -> tuple[float, float]:
        passing = float(accepted(data, score, rejecting(rate))[rows].mean()) if rows.any() else 1.0
        return -passing, auroc(data, score, *data.deciding, chooses=True).value or 0.0

    return max(data.scores, key=key)


def gained(data: StrangersData, score: str, rate: float, confidence: float) -> Estimate:
    """Share of the deciding strangers that pass by the model's confidence and not by `score`, net; on the same rows.

    The latter's threshold is that of the remedy, which keeps to `rate` with probability `confidence`.
    """
    rows = data.of(*data.deciding) & ~data.chooses
    fewer = accepted(data, score, lambda known: upper_threshold(known, rate, confidence))[rows]
    difference = passing(data, rate)[rows].astype(np.float64) - fewer
    return mean(difference, clusters=units(data)[rows], unit="share of strangers", bounds=(-1.0, 1.0), skewed=True)


def _of(data: StrangersData, rows: Mask) -> str:
    classes = len(np.unique(data.model[rows & (data.model > 0)]))
    return f", {classes} classes left out" if classes else ""
