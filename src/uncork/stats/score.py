"""The subject's metric with its interval, and what a change gains in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import expit, logit, softmax
from scipy.stats import rankdata

from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
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
        return _auc(passed)
    raise ValueError(f"{metric.name} has no linearisation")


def _auc(passed: PassData) -> tuple[float, Float[np.ndarray, " n"]]:
    if passed.logits.shape[1] != 2:
        raise BadInput(f"metric 'auc' is for two classes, the model has {passed.logits.shape[1]}: use 'log-loss'")
    # The 32-bit margin orders rows that 16-bit logits would tie.
    score = np.where(passed.y == 1, passed.margin, -passed.margin).astype(np.float64)
    positive = passed.y == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n0 == 0:
        raise BadInput("metric 'auc' needs rows of both classes")
    overall = rankdata(score)
    within = np.empty(len(score))
    within[positive], within[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    beaten = np.where(positive, (overall - within) / n0, 1 - (overall - within) / n1)
    auc = float(beaten[positive].mean())
    # DeLong divides by n − 1 within each class, the mean over rows by n − 1 over both.
    n = len(score)
    of_class = [n / m * np.sqrt(m / max(m - 1, 1) * (n - 1) / n) for m in (n1, n0)]
    return auc, (beaten - auc) * np.where(positive, *of_class)


def _of_two_classes(
    estimate: Estimate, each: Float[np.ndarray, " n"], passed: PassData, *, bounded: bool = False
) -> Estimate:
    """The t interval of an AUC, or of a difference of two, from the s.e. in `estimate`: the rarer class decides.

    Satterthwaite's degrees of freedom over the two classes, and for a single AUC (`bounded`) on the logit scale
    (Pepe, The Statistical Evaluation of Medical Tests, 2003, §5.2). Fewer than 10 rows of a class, or no variation:
    undetermined. Simulated coverage at 95 % for binormal scores: .89 (AUC .92) and .93 (.76) with 10 positives, .95
    with 50.
    """
    positive, level = passed.y == 1, estimate.level
    smaller = int(min(positive.sum(), (~positive).sum()))
    value, se, df = estimate.value, estimate.se, estimate.df
    groups = clustered(passed.clusters, len(passed))
    method = f"DeLong t over {'groups of rows' if groups else 'rows'}"
    if smaller < 10 or value is None or se is None or df is None:
        method += " (too few of a class, or no variation: undetermined)"
        return Estimate(value, None, None, estimate.unit, estimate.n, method, level=level)
    if not groups:
        parts = [(float(np.square(each[c]).sum()), int(c.sum()) - 1) for c in (positive, ~positive)]
        df = sum(v for v, _ in parts) ** 2 / sum(v * v / d for v, d in parts)
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    low, high = value - half, value + half
    if bounded:
        centre, half = float(logit(value)), half / (value * (1 - value))
        low, high = float(expit(centre - half)), float(expit(centre + half))
    return Estimate(value, low, high, estimate.unit, estimate.n, method, se, df, level)


def _custom(metric: Metric, passed: PassData) -> Callable[[np.ndarray], float]:
    """The callable metric as a function of chosen rows; the outputs are worked out once, not for each resample."""
    outputs = passed.predicted
    if passed.task == "classification":
        outputs = softmax(passed.logits.astype(np.float32), axis=1)
    return lambda chosen: float(metric.spec(outputs[chosen], passed.y[chosen]))


def score(metric: Metric, passed: PassData) -> Estimate:
    """The metric in its display unit with its interval.

    Unit: rows, or groups where the split has them. Error and accuracy: Clopper–Pearson, of groups by
    Korn–Graubard; other means and RMSE: t on the influence of each unit; AUC: DeLong on the logit scale; callables:
    bootstrap.
    """
    if metric.kind == "callable":
        rng = generator(0, "score", metric.name)
        return bootstrap(_custom(metric, passed), passed.clusters, rng, unit=metric.unit)
    if metric.kind in _BOUNDS and not clustered(passed.clusters, len(passed)):
        hits = int(rows(metric, passed).sum())
        return clopper_pearson(hits, len(passed)).scaled(metric.scale, metric.unit)
    value, each = influence(metric, passed)
    estimate = mean(each + value, clusters=passed.clusters, unit=metric.unit, bounds=_BOUNDS.get(metric.kind))
    if metric.kind == "auc":
        estimate = _of_two_classes(estimate, each, passed, bounded=True)
    if metric.kind in _BOUNDS:
        estimate = korn_graubard(estimate, len(passed))
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
        estimate = _of_two_classes(estimate, each_before - each_after, before)
    return estimate.scaled(metric.scale, metric.unit)
