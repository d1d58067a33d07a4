"""The subject's metric with its interval, and what a change gains in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.auc import auc_influence, of_two_classes
from uncork.stats.binomial import bonett_price, clopper_pearson, korn_graubard
from uncork.stats.bootstrap import bootstrap
from uncork.stats.means import clustered, mean

if TYPE_CHECKING:
    from jaxtyping import Float

_BOUNDS = {"error": (0.0, 1.0), "accuracy": (0.0, 1.0)}


def rows(metric: Metric, passed: PassData) -> Float[np.ndarray, " n"]:
    """Each row's part of an additive metric (raw, before display scale)."""
    each: np.ndarray
    match metric.kind:
        case "error":
            each = passed.predicted != passed.y
        case "accuracy":
            each = passed.predicted == passed.y
        case "log-loss":
            each = passed.loss
        case "cost":
            each = metric.spec[passed.y, passed.predicted]
        case "mae":
            each = np.abs(passed.predicted - passed.y)
        case _:
            raise ValueError(f"{metric.name} is not a mean over rows")
    return each.astype(np.float64)


def influence(metric: Metric, passed: PassData) -> tuple[float, Float[np.ndarray, " n"]]:
    """(raw value, each row's influence on it, with mean 0): value's variance is that of the mean influence.

    RMSE: delta method on the mean square. AUC: DeLong's structural components (Biometrics 44, 1988).
    """
    if metric.additive:
        each = rows(metric, passed)
        return float(each.mean()), each - each.mean()
    if metric.kind == "rmse":
        square = passed.loss.astype(np.float64)
        rmse = float(np.sqrt(square.mean()))
        return rmse, (square - square.mean()) / (2 * rmse) if rmse > 0 else np.zeros(len(square))
    if metric.kind == "auc":
        return auc_influence(passed)
    raise ValueError(f"{metric.name} has no linearisation")


def _custom(metric: Metric, passed: PassData) -> Callable[[np.ndarray], float]:
    """The callable metric as a function of chosen rows; the outputs are worked out once, not for each resample."""
    outputs = passed.predicted
    if passed.task == "classification":
        outputs = softmax(passed.logits.astype(np.float32), axis=1)
    return lambda chosen: float(metric.spec(outputs[chosen], passed.y[chosen]))


def score(metric: Metric, passed: PassData) -> Estimate:
    """The metric in its display unit with its interval.

    Unit: rows, or groups where the split has them. Error and accuracy: Clopper–Pearson, of groups by
    Korn–Graubard; other means and RMSE: t on the influence of each unit; AUC: DeLong on the logit scale, of rows joined
    with Newcombe's; callables: bootstrap.
    """
    if metric.kind == "callable":
        rng = generator(0, "score", metric.name)
        return bootstrap(_custom(metric, passed), passed.clusters, rng, unit=metric.unit)
    if metric.kind in _BOUNDS and not clustered(passed.clusters, len(passed)):
        hits = int(rows(metric, passed).sum())
        return clopper_pearson(hits, len(passed)).scaled(metric.scale, metric.unit)
    if metric.kind in _BOUNDS:
        hit = rows(metric, passed)
        return korn_graubard(hit, passed.clusters, unit=metric.unit).scaled(metric.scale, metric.unit)
    value, each = influence(metric, passed)
    estimate = mean(each + value, clusters=passed.clusters, unit=metric.unit)
    if metric.kind == "auc":
        estimate = of_two_classes(estimate, each, passed, single=True)
    return estimate.scaled(metric.scale, metric.unit)


def gain(metric: Metric, before: PassData, after: PassData) -> Estimate:
    """What `after` gains over `before` on the same rows, positive where better, in the display unit.

    Paired. Error and accuracy of independent rows: Bonett–Price; other means, RMSE and AUC (DeLong): t on the
    differences of influences; callables: bootstrap of the difference. Unit: rows, or groups where the split has them.
    """
    if len(before) != len(after) or not np.array_equal(before.y, after.y):
        raise ValueError("a paired gain needs the same rows and labels before and after")
    if metric.kind == "callable":
        old, new = _custom(metric, before), _custom(metric, after)

        def difference(chosen: np.ndarray) -> float:
            return metric.sign * (old(chosen) - new(chosen))

        return bootstrap(difference, before.clusters, generator(0, "gain", metric.name), unit=metric.unit)
    if metric.kind in _BOUNDS and not clustered(before.clusters, len(before)):
        wrong_before, wrong_after = before.predicted != before.y, after.predicted != after.y
        mended, broken = int((wrong_before & ~wrong_after).sum()), int((~wrong_before & wrong_after).sum())
        return bonett_price(mended, broken, len(before)).scaled(metric.scale, metric.unit)
    value_before, each_before = influence(metric, before)
    value_after, each_after = influence(metric, after)
    change = metric.sign * (each_before - each_after + value_before - value_after)
    bounds = (-1.0, 1.0) if metric.kind in _BOUNDS else None
    estimate = mean(change, clusters=before.clusters, unit=metric.unit, bounds=bounds)
    if metric.kind == "auc":
        estimate = of_two_classes(estimate, each_before - each_after, before)
    return estimate.scaled(metric.scale, metric.unit)
