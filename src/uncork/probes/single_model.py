"""One model does worse than the mean of several.

What it measures
----------------
What the mean prediction of three models, trained by the recipe on all of train from other seeds, gains over one of
them, on validation; and what that of eight models trained on halves of train gains.

Why it limits the model
-----------------------
A single training adds the luck of its seed and of its rows to every prediction; the mean of several has less of both.
It buys quality for latency: nothing is wrong with a single model.

Estimator
---------
Mean of log-probabilities over the models, normalised again; of a regression the mean prediction.
`full_gain`, the headroom: mean metric of the three models minus that of their mean, on the same rows; an average one
of them is what the checkpoint is expected to be. `halves_gain`: the same of eight halves, against the three full ones.
Both are about these very models: unit one row or group of rows, t with a row added at either bound for errors, Hall's
t for other means over rows, DeLong's for AUC, t for RMSE. Positive where the mean of several is better, display unit.
`full_cost`, `halves_cost`: so many times the latency, memory and arithmetic of one model, counted.

When it misleads
----------------
Models trained anew gain as these do only on average. Where the checkpoint is better or worse than the recipe's models
(irreproducible-recipe), what it would gain is another figure. Three models gain less than ten would.

Remedies and their safety
-------------------------
`ensemble` (checked): the mean of five trainings. Where latency forbids it, `average-weights` (checked): the mean of one
training's weights over its last quarter; or distil them (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> found = measure(pool=a_pool(v=4000, error=0.2), facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 5, found.estimates["full_cost"].value
(True, 3.0)

References
----------
Lakshminarayanan, Pritzel & Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles,
NeurIPS 2017. Breiman, Bagging predictors, Machine Learning 24, 1996. Bonett & Price, Statistics in Medicine 31, 2012.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, PassData
from uncork.schema.finding import Estimate, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import Pool, PoolData
from uncork.stats.auc import of_two_classes
from uncork.stats.crossed import gains
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Int

FULL, HALVES = 3, 8


@probe(
    tier="investment",
    column="quality",
    title="The mean of several models does no better than one",
    failure_title="The mean of several models does better than one",
    requires={"pool": Pool(halves=HALVES, full=FULL), "facts": Facts()},
    remedies=("ensemble", "average-weights"),
    buys=(0.0, float(FULL)),
    promises="ensemble",
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    full, halves, metric = pool.members(1), pool.members(2), facts.metric
    if len(full) < FULL:
        why = f"{len(full)} of {FULL} models retrained on all of train: {pool.left_out.get('full', 'left out')}"
        return NotApplicable(pool.left_out.get("pool", why))
    if metric.kind == "callable":
        return NotApplicable(f"{metric.name} is a function of many rows at once: no row's part of it is known")
    alone = [pool.validation_pass(int(i)) for i in full]
    headroom = _gain(metric, alone, _averaged(pool, full))
    estimates = {"full_gain": headroom, "full_cost": _cost(len(full))}
    if len(halves) >= HALVES:
        estimates["halves_gain"] = _gain(metric, alone, _averaged(pool, halves))
        estimates["halves_cost"] = _cost(len(halves))
    form = ".1f" if metric.unit.endswith("per 1,000") else ".3g"
    said = [
        f"{e.value or 0.0:{form}}{interval(e, form)} {e.unit} of {count} models {what}"
        for name, count, what in (
            ("full_gain", len(full), "of all of train"),
            ("halves_gain", len(halves), "of halves"),
        )
        if (e := estimates.get(name)) is not None
    ]
    return Measurement(estimates, headroom=headroom, summary=f"What the mean gains over one model: {', '.join(said)}.")


def _averaged(pool: PoolData, members: Int[np.ndarray, " k"]) -> PassData:
    """The members' mean prediction on validation."""
    y, clusters = pool.validation_y, pool.validation_clusters
    if pool.task == "regression":
        return PassData.of_values(pool.on_validation[members, :, 0].mean(axis=0), y, clusters=clusters)
    total = np.zeros(pool.on_validation.shape[1:])
    for i in members:
        total += log_softmax(pool.on_validation[i].astype(np.float64), axis=1)
    return PassData.of_logits(total / len(members), y, clusters=clusters)


def _gain(metric: Metric, alone: list[PassData], together: PassData) -> Estimate:
    """Mean over the models alone of what the models together gain, these very models, rows drawn again."""
    each = gains(metric, alone, [together]).mean(axis=0)
    most = metric.scale * float(np.ptp(metric.spec, axis=1).max()) if metric.kind == "cost" else metric.scale
    bounds = (-most, most) if metric.kind in ("error", "accuracy", "cost") and most > 0 else None
    skewed = metric.kind not in ("auc", "rmse")
    found = mean(each, clusters=together.clusters, unit=metric.unit, bounds=bounds, skewed=skewed)
    if metric.kind == "auc":
        found = of_two_classes(found, each - each.mean(), together)
    return replace(found, method=f"{found.method}, of these very models", seeds=len(alone))


def _cost(models: int) -> Estimate:
    return Estimate(models, models, models, "× the latency of one model", 1, "counted")
