"""Models' errors on validation and on rows of train that they have not seen, and how far the labels are apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.stats.binomial import share
from uncork.stats.crossed import Part, t_over
from uncork.stats.deviation import magnitude
from uncork.stats.means import difference, mean
from uncork.stats.score import influence
from uncork.stats.stratified import PRIOR, hidden_variance, standardised

if TYPE_CHECKING:
    from jaxtyping import Float


FEWEST = 4  # models of half size
REPEATED = 0.02  # share of validation's rows that may repeat rows of train


def uncomparable(pool: PoolData, metric: Metric) -> str:
    """Why models' errors on the two splits can't be compared; "" where they can."""
    members = pool.members(2)
    if len(members) < FEWEST:
        lacking = f"{len(members)} of {FEWEST} models retrained on halves of train"
        return pool.left_out.get("pool", f"{lacking}: {pool.left_out.get('halves', 'left out')}")
    if metric.kind == "callable":
        return f"{metric.name} is a function of many rows at once: no row's part of it is known"
    if pool.repeated > REPEATED:
        return (
            f"{100 * pool.repeated:.0f} % of the rows of validation also stand in train, which unseen rows of train "
            "never do"
        )
    return ""


def compared(pool: PoolData, metric: Metric) -> dict[str, Estimate]:
    """`validation`, `unseen_train` and `shift`, positive where validation is harder, of the models of half size.

    Where shares of classes move the metric `unseen_train` is at validation's, and `shift` undetermined where one of its
    classes is `lone`; `unseen_train` is then as it is.
    """
    bounds = (0.0, metric.scale) if metric.kind in ("error", "accuracy") else None
    new, unseen, rows = _new(pool, metric), _unseen(pool, metric), np.ones(len(pool.y), bool)
    validation = mean(new, clusters=pool.validation_clusters, unit=metric.unit, bounds=bounds)
    hidden, how = 0.0, f"of these {len(pool.members(2))} models of half size"
    missing = lone(pool, metric) is not None
    if at_shares(pool, metric) and not missing:
        rows, how = np.isin(pool.y, pool.validation_y), f"{how}, train at validation's shares of the classes"
        hidden = hidden_variance(unseen[rows], pool.y[rows], pool.validation_y)
        unseen, new = standardised(unseen[rows], pool.y[rows], new, pool.validation_y)
    old = mean(unseen, clusters=pool.clusters[rows], unit=metric.unit, bounds=bounds)
    if hidden and old.value is not None and old.se and old.df:
        parts = [Part(old.se**2, old.df), Part(hidden, PRIOR)]
        old = t_over(old.value, parts, bounds, metric.unit, old.n, old.method, old.level)
    beyond = mean(new, clusters=pool.validation_clusters, unit=metric.unit, bounds=bounds)
    shift = difference(beyond, old, unit=metric.unit).scaled(metric.sign, metric.unit)
    shift = replace(shift, method=f"{shift.method}, {how}")
    if missing:
        shift = Estimate(None, None, None, metric.unit, shift.n, "fewer than 2 rows of a class in train: undetermined")
    return {"validation": validation, "unseen_train": old, "shift": shift}


def at_shares(pool: PoolData, metric: Metric) -> bool:
    """Whether shares of classes move the metric: an AUC asks nothing of them."""
    return pool.task == "classification" and metric.kind != "auc"


def lone(pool: PoolData, metric: Metric) -> int | None:
    """The first class of validation of which train has fewer than 2 rows, or groups of them, where shares matter."""
    if not at_shares(pool, metric):
        return None
    units = {c: len(np.unique(pool.clusters[pool.y == c])) for c in np.unique(pool.validation_y)}
    return next((int(c) for c, count in units.items() if count < 2), None)


def _new(pool: PoolData, metric: Metric) -> Float[np.ndarray, " v"]:
    """Each row of validation's part of the metric, mean over the models."""
    parts = [influence(metric, pool.validation_pass(int(i))) for i in pool.members(2)]
    result: Float[np.ndarray, " v"] = metric.scale * np.mean([value + each for value, each in parts], axis=0)
    return result


def _unseen(pool: PoolData, metric: Metric) -> Float[np.ndarray, " n"]:
    """Each row of train's part of the metric, mean over the models that have not seen it."""
    total, counts, trained_on = np.zeros(len(pool.y)), np.zeros(len(pool.y)), pool.trained_on
    for i in pool.members(2):
        out = np.flatnonzero(~trained_on[i])
        value, each = influence(metric, pool.train_pass(int(i)).take(out))
        total[out] += value + each
        counts[out] += 1
    return metric.scale * total / counts


def label_shift(pool: PoolData) -> Estimate:
    """Largest difference of a class's share; every class's interval holds, so the largest's does."""
    if pool.task == "regression":
        spread = float(np.std(pool.y)) or 1.0
        sides = (pool.validation_y, pool.validation_clusters), (pool.y, pool.clusters)
        new, old = (mean(y / spread, clusters=c, unit="s.d. of the targets") for y, c in sides)
        return difference(new, old, unit="s.d. of the targets")
    classes = np.unique(np.concatenate([pool.y, pool.validation_y]))
    level = 1 - 0.05 / len(classes)
    each = []
    for c in classes:
        new = share(pool.validation_y == c, pool.validation_clusters, level=level)
        each.append(magnitude(difference(new, share(pool.y == c, pool.clusters, level=level), unit="share of rows")))
    known = all(e.determined for e in each)
    value, low, high = (max((getattr(e, end) or 0.0) for e in each) for end in ("value", "low", "high"))
    method = f"largest of {len(classes)} classes, all at once, {each[0].method}"
    return Estimate(value, low if known else None, high if known else None, each[0].unit, each[0].n, method)
