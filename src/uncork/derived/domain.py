"""What a model loses where it is to be used next: with labels, with few, and what is guessed without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.special import softmax

from uncork.derived.confidence import correct
from uncork.derived.order import ordered
from uncork.derived.temperature import best_temperature
from uncork.derived.words import interval
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.shifted import ShiftedData, ShiftedLabelsData
from uncork.stats.binomial import clopper_pearson
from uncork.stats.bootstrap import bootstrap
from uncork.stats.means import clustered, difference, mean
from uncork.stats.multiplicity import with_error
from uncork.stats.prediction_powered import prediction_powered_share
from uncork.stats.score import gain, score

if TYPE_CHECKING:
    from jaxtyping import Float, Int


PAIRED = 0.9  # share of shifted's labelled rows that must correspond to rows of validation
_FEWEST = 10  # units of either side that can be drawn again
_BLOCK = 65_536  # rows widened to 64 bits at a time
UNIT = "errors per 1,000"


class Sure(NamedTuple):
    """What a model says of rows of validation and of shifted, at the temperature that suits validation best.

    confidence: (v + n,) the largest probability, validation first. wrong: (v,). clusters: (v + n,).
    """

    confidence: Float[np.ndarray, " m"]
    wrong: Float[np.ndarray, " v"]
    clusters: Int[np.ndarray, " m"]

    @property
    def of_shifted(self) -> Float[np.ndarray, " n"]:
        return self.confidence[len(self.wrong) :]


def labelled(shifted: ShiftedData, labels: ShiftedLabelsData) -> PassData:
    """The model's outputs on the shifted rows whose labels are known."""
    known = np.isin(labels.rows, shifted.rows)
    at, y = np.searchsorted(shifted.rows, labels.rows[known]), labels.labels[known]
    beside = {"rows": shifted.rows[at], "clusters": shifted.clusters[at], "answered": shifted.answered[at]}
    if shifted.task == "regression":
        return PassData.of_values(shifted.predicted[at], y, **beside)
    passed = PassData.of_logits(shifted.logits[at], y, **beside)
    return replace(passed, predicted=shifted.predicted[at])  # 16 bits may tie what 32 decided


def dropped(metric: Metric, validation: PassData, found: PassData, pairs: Int[np.ndarray, "p 2"]) -> Estimate | None:
    """What the model loses on the shifted rows `found`, positive where it is worse there, over pairs of rows of one id
    and label; None where fewer than nine of ten are paired.

    As `gain`: Bonett–Price for shares of independent rows, t or Hall's t on differences, a bootstrap for callables.
    """
    here, there = (np.argsort(p.rows, kind="stable") for p in (validation, found))
    at = [
        order[np.searchsorted(p.rows[order], rows).clip(max=len(p) - 1)]
        for p, order, rows in ((validation, here, pairs[:, 1]), (found, there, pairs[:, 0]))
    ]
    met = (validation.rows[at[0]] == pairs[:, 1]) & (found.rows[at[1]] == pairs[:, 0])
    met &= validation.y[at[0]] == found.y[at[1]]
    if met.sum() < PAIRED * len(found):
        return None
    return gain(metric, validation.take(at[0][met]), found.take(at[1][met])).scaled(-1.0, metric.unit)


def apart(metric: Metric, new: Estimate, old: Estimate) -> Estimate:
    """What the model loses from the figure `old` to `new`, of two samples, positive where it is worse: their ends
    combined (`difference`), which is too wide where some rows of one correspond to rows of the other."""
    return with_error(difference(new, old, unit=metric.unit).scaled(metric.sign, metric.unit))


def by_few_labels(metric: Metric, shifted: ShiftedData, found: PassData, sure: Sure | None) -> Estimate:
    """The metric on shifted, known for the random rows `found` alone: their own `score`, and for error and accuracy of
    independent rows prediction-powered by what the model says of all others."""
    own = score(metric, found)
    if sure is None or metric.kind not in ("error", "accuracy") or clustered(shifted.clusters, len(shifted)):
        return own
    doubt, known = 1 - sure.of_shifted, np.isin(shifted.rows, found.rows)
    order = np.argsort(found.rows, kind="stable")
    wrong = (found.predicted != found.y)[order]
    if known.all():
        return own
    error = prediction_powered_share(wrong, doubt[known], doubt[~known]).scaled(1000.0, UNIT)
    return error if metric.kind == "error" else error.scaled(-1.0, metric.unit).shifted(1000.0)


def sure_of(validation: PassData, shifted: ShiftedData) -> Sure:
    """Of a classifier."""
    validation = ordered(validation)
    t = best_temperature(validation.logits, validation.y)
    confidence = np.concatenate([_confidence(logits, t) for logits in (validation.logits, shifted.logits)])
    return Sure(confidence, ~correct(validation), np.concatenate([validation.clusters, shifted.clusters]))


def by_threshold(sure: Sure, rng: np.random.Generator) -> Estimate:
    """Average thresholded confidence: the share of shifted rows the model is less sure of than the value below which
    lies the share of validation that it has wrong, of rows on that value a part. Undetermined where either side has
    fewer than 10 rows or groups.

    Right where errors are the rows that it is least sure of by the same measure on both sides. Interval: `bootstrap`
    over rows of both, groups and pairs together, at a fixed temperature; sampling alone. Source: Garg et al., ICLR
    2022.
    """
    split = len(sure.wrong)

    def share(chosen: np.ndarray) -> float:
        here = chosen < split
        return _below(chosen[~here], chosen[here], sure)

    fewest = min(len(np.unique(side)) for side in np.split(sure.clusters, [split]))
    if fewest < _FEWEST:
        value = share(np.arange(len(sure.confidence)))
        return Estimate(value, None, None, "share wrong", fewest, "too few groups: undetermined").scaled(1000.0, UNIT)
    found = bootstrap(share, sure.clusters, rng, unit="share wrong")
    return replace(found, method=f"{found.method}, sampling alone").scaled(1000.0, UNIT)


def _below(there: np.ndarray, here: np.ndarray, sure: Sure) -> float:
    """Share of `there` below the threshold of `here`; of the rows on it the part that makes up `here`'s errors."""
    mine, theirs, errors = sure.confidence[here], sure.confidence[there], int(sure.wrong[here].sum())
    if errors == len(mine):
        return 1.0
    at = np.partition(mine, errors)[errors]
    part = (errors - np.sum(mine < at)) / np.sum(mine == at)
    return float(np.mean(theirs < at) + part * np.mean(theirs == at))


def by_difference(sure: Sure) -> Estimate:
    """Difference of confidences: validation's error plus the fall of the mean confidence.

    Right where the model is as much too sure on shifted as on validation. Interval, at a fixed temperature: Welch's t
    over rows, or groups, of either; where some of both belong together t on each row's part of the figure, over rows of
    both, groups and pairs together. Sampling alone. Source: Guillory et al., ICCV 2021.
    """
    here, there = sure.wrong + sure.confidence[: len(sure.wrong)], sure.of_shifted
    value, total = float(here.mean() - there.mean()), len(sure.confidence)
    first, second = np.split(sure.clusters, [len(here)])
    if not np.isin(second, first).any():
        two = difference(mean(here, clusters=first, unit=""), mean(there, clusters=second, unit=""), unit="share wrong")
        return replace(two, value=value, method=f"{two.method} of either, sampling alone").scaled(1000.0, UNIT)
    parts = [total / len(here) * (here - here.mean()), total / len(there) * (there.mean() - there)]
    found = mean(value + np.concatenate(parts), clusters=sure.clusters, unit="share wrong")
    return replace(found, method=f"{found.method} of both, sampling alone").scaled(1000.0, UNIT)


def _confidence(logits: Float[np.ndarray, "n k"], temperature: float) -> Float[np.ndarray, " n"]:
    parts = [np.zeros(0)]
    for start in range(0, len(logits), _BLOCK):
        parts.append(softmax(logits[start : start + _BLOCK].astype(np.float64) / temperature, axis=1).max(axis=1))
    return np.concatenate(parts)


def class_weights(
    predicted: Int[np.ndarray, " v"], y: Int[np.ndarray, " v"], decided: Int[np.ndarray, " n"], classes: int
) -> Float[np.ndarray, " k"]:
    """How many times as frequent each class is where the decisions `decided` were made as where `y` is: black-box shift
    estimation, right where classes look as they did.

    The weights w ≥ 0 of least |C w − q|² with C[i, j] the share of rows decided i and of class j, q[i] that of
    `decided`; scaled so that shares sum to 1. A class that `y` lacks keeps weight 1. Source: Lipton, Wang & Smola, ICML
    2018.
    """
    joint = np.zeros((classes, classes))
    np.add.at(joint, (predicted, y), 1 / len(y))
    target = np.bincount(decided, minlength=classes) / len(decided)
    there = joint.sum(axis=0) > 0
    weight = np.ones(classes)
    found = nnls(joint[:, there], target)[0]
    shares = joint.sum(axis=0)[there]
    weight[there] = found / max(float(shares @ found), 1e-12)
    return weight


def class_shares(old: Int[np.ndarray, " v"], new: Int[np.ndarray, " n"], classes: Sequence[str]) -> list[list[str]]:
    """[class, its share of `old`, of `new`] in %, the largest differences first; intervals of all hold together."""
    counts = np.stack([np.bincount(side, minlength=len(classes)) for side in (old, new)])
    level = 1 - 0.05 / (2 * len(classes))
    apart = np.abs(np.diff(counts / counts.sum(axis=1, keepdims=True), axis=0)[0])
    rows = []
    for c in np.argsort(-apart, kind="stable"):
        each = [clopper_pearson(int(side[c]), int(side.sum()), level=level).scaled(100.0, "%") for side in counts]
        rows.append([classes[c], *(f"{e.value:.1f}{interval(e)}" for e in each)])
    return rows
