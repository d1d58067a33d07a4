"""Validation is harder than rows of train that a model has not seen.

What it measures
----------------
Models trained on halves of train are scored on validation and on the half of train that they did not see: the same
models, so that only the rows differ. Beside it, how far the two splits' labels are apart.

Why it limits the model
-----------------------
Splits that are not drawn alike answer different questions. Cross-validation, label checks and everything else that is
read from train then says little of validation, and validation may say little of what comes after it.

Estimator
---------
`shift`: metric on validation minus metric on unseen rows of train (display unit, positive where validation is harder),
each a mean over four models; Welch's t over rows, or groups of rows, for these models. Complementary halves score every
row of train equally often, so that the rows of train are one sample as the rows of validation are; that models were
trained on each other's rows adds nothing to first order where training is stable (Bayle et al.). Simulated coverage at
95 %: .94 to .96; of a linear model with 41 weights on 100 rows .91. Half size is no bias: both sides have it.
At many rows every difference is significant: the gate is open where validation is harder by more than 2 δ, twice the
smallest difference worth acting on, and clear below. Where validation is easier the gate stays closed, and the summary
says so: wrong labels in train alone are the commonest cause, and `wrong-labels` finds them.
`label_shift`: of a classifier the largest difference of a class's share between the splits, exact intervals of each,
corrected for the number of classes; of a regression the difference of the mean targets, in s.d. of train's.

When it misleads
----------------
Wrong labels in train alone hide a shift: unseen rows of train then look harder than they are. Where rows repeat by
nature, copies stay on one side within train but not between train and validation: not applicable. Rows of train that
have relatives in train without being marked as groups look easier. Leaked rows make validation no easier for models
that did not see them. A shift that no model stumbles over is not seen.

Remedies and their safety
-------------------------
Draw the splits anew, by time or group where the use does; correct train's labels (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> pool = a_pool(n=4000, v=2000, halves=4, full=0, flipped_validation=0.1)
>>> found = measure(pool=pool, facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["shift"].low > 10
True

References
----------
Bayle et al., Cross-validation confidence intervals for test error, NeurIPS 2020. Rabanser, Günnemann & Lipton, Failing
loudly: an empirical study of methods for detecting dataset shift, NeurIPS 2019. Recht et al., Do ImageNet classifiers
generalize to ImageNet?, ICML 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import Pool, PoolData
from uncork.stats.binomial import clopper_pearson, korn_graubard
from uncork.stats.deviation import magnitude
from uncork.stats.means import clustered, difference, mean
from uncork.stats.score import influence

if TYPE_CHECKING:
    from jaxtyping import Float

FEWEST = 4
TOLERATED = 2  # δ
EASIER = " Validation is the easier one: its labels may be better than train's."
REPEATED = 0.02  # share of validation's rows that may repeat rows of train


@probe(
    tier="gate",
    column="quality",
    title="Validation is no harder than unseen rows of train",
    failure_title="Validation is harder than unseen rows of train",
    requires={"pool": Pool(halves=FEWEST), "facts": Facts()},
    spoils="what is read from train (labels, learning curve, screened changes) as a forecast for validation and test",
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    members, metric = pool.members(2), facts.metric
    if len(members) < FEWEST:
        why = (
            f"{len(members)} of {FEWEST} models retrained on halves of train: {pool.left_out.get('halves', 'left out')}"
        )
        return NotApplicable(pool.left_out.get("pool", why))
    if metric.kind == "callable":
        return NotApplicable(f"{metric.name} is a function of many rows at once: no row's part of it is known")
    if pool.repeated > REPEATED:
        return NotApplicable(
            f"{100 * pool.repeated:.0f} % of the rows of validation also stand in train, which unseen rows of train "
            "never do: the two can't be compared"
        )
    unseen = mean(_unseen(pool, metric), clusters=pool.clusters, unit=metric.unit, bounds=_bounds(metric))
    new = mean(_new(pool, metric), clusters=pool.validation_clusters, unit=metric.unit, bounds=_bounds(metric))
    shift = difference(new, unseen, unit=metric.unit).scaled(metric.sign, metric.unit)
    shift = replace(shift, method=f"{shift.method}, of these {len(members)} models of half size")
    estimates = {
        "validation": new,
        "unseen_train": unseen,
        "shift": shift,
        "label_shift": _label_shift(pool),
    }
    tolerated = TOLERATED * metric.delta_at(new.value or 0.0)
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    said = [f"{e.value or 0.0:{form}}{interval(e, form)}" for e in (new, unseen)]
    return Measurement(
        estimates,
        against=Limit("shift", at_most=tolerated),
        summary=f"{metric.name} of models of half size {' on validation, '.join(said)} on unseen train, "
        f"{metric.unit}.{EASIER if shift.high is not None and shift.high < -tolerated else ''}",
    )


def _bounds(metric: Metric) -> tuple[float, float] | None:
    return (0.0, metric.scale) if metric.kind in ("error", "accuracy") else None


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


def _label_shift(pool: PoolData) -> Estimate:
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
        new = _share(pool.validation_y == c, pool.validation_clusters, level)
        each.append(magnitude(difference(new, _share(pool.y == c, pool.clusters, level), unit="share of rows")))
    known = all(e.determined for e in each)
    value, low, high = (max((getattr(e, end) or 0.0) for e in each) for end in ("value", "low", "high"))
    method = f"largest of {len(classes)} classes, all at once, {each[0].method}"
    return Estimate(value, low if known else None, high if known else None, each[0].unit, each[0].n, method)


def _share(hit: np.ndarray, clusters: np.ndarray, level: float) -> Estimate:
    if clustered(clusters, len(hit)):
        return korn_graubard(hit, clusters, level=level)
    return clopper_pearson(int(hit.sum()), len(hit), level=level)
