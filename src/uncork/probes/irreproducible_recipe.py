"""The recipe does not make models like the checkpoint.

What it measures
----------------
The metric of the checkpoint against that of models trained anew by the recipe on all of train, on the same rows
of validation, and how far it lies outside what one more training would show.

Why it limits the model
-----------------------
Whatever is read from retrained models (wrong labels, tuning, data, membership) is true of the recipe. Where the
checkpoint was made otherwise, by other data, steps or luck, it need not be true of the checkpoint.

Estimator
---------
`one_more_training`: mean of the retrained models ± t · s · √(1 + 1/k), the 95 % prediction interval of one more
training on these rows; s is the standard deviation between trainings, no less than what the rows' own luck makes it.
`difference`: how much better the checkpoint is than the mean (display unit, positive where better), with the same
width: an interval of the difference of the two recipes, where the checkpoint's varies as much from training to
training. `beyond_retraining`: how far the checkpoint lies outside the prediction interval, better or worse, 0 inside;
the gate is open where that exceeds δ. Unit: one training; the rows are the same for all, so that they pair.
Undetermined where the interval is wider than ten δ to either side and the checkpoint inside it: it would pass anything.

When it misleads
----------------
Few trainings say little of s: the interval is five s to either side with three, three s with five, and a clear verdict
means that the checkpoint can't be told from one more training, not that the recipes are equal. A checkpoint picked as
the best of many trainings looks too good. Two recipes may reach the same metric by other decisions.

Remedies and their safety
-------------------------
Give the recipe that made the checkpoint, or audit a model that the recipe makes (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> pool, other = a_pool(v=4000, halves=0), a_pool(v=4000, halves=0, error=0.2)
>>> for checkpoint in (a_pool(v=4000, halves=0, full=4).validation_pass(3), other.validation_pass(0)):
...     found = measure(pool=pool, validation=checkpoint, facts=facts(), rng=np.random.default_rng(0))
...     print(found.estimates["beyond_retraining"].value > 5)
False
True

References
----------
Hahn & Meeker, Statistical Intervals, 1991, §4.7. Bouthillier et al., Accounting for variance in machine learning
benchmarks, MLSys 2021.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.order import ordered
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import FEWEST_SEEDS, SEEDS, Pool, PoolData
from uncork.stats.crossed import gains, seed_variance
from uncork.stats.deviation import magnitude, one_more
from uncork.stats.multiplicity import t_quantile
from uncork.stats.score import score

WIDEST = 10  # δ to either side, beyond which lying inside says nothing


@probe(
    tier="gate",
    column="quality",
    title="The checkpoint can't be told from one more training by the recipe",
    failure_title="The recipe does not make models like the checkpoint",
    requires={"pool": Pool(full=SEEDS), "validation": Pass("validation"), "facts": Facts()},
    spoils="what was read from retrained models: it is true of the recipe, not of this checkpoint",
)
def measure(
    *, pool: PoolData, validation: PassData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    members = [pool.validation_pass(int(i)) for i in pool.members(1)]
    if len(members) < FEWEST_SEEDS:
        why = pool.left_out.get("full", "left out")
        why = f"{len(members)} of {FEWEST_SEEDS} models retrained on all of train: {why}"
        return NotApplicable(pool.left_out.get("pool", why))
    metric, checkpoint = facts.metric, ordered(validation)
    if not np.array_equal(checkpoint.y, pool.validation_y):
        return NotApplicable("the retrained models and the checkpoint were not scored on the same rows of validation")
    if pool.brought and any(_same(member, checkpoint) for member in members):
        return NotApplicable("the checkpoint is one of the models that were brought: bring three others beside it")
    mine = score(metric, checkpoint)
    expected = _one_more(metric, members)
    difference = expected.shifted(-(mine.value or 0.0)).scaled(metric.sign, metric.unit)
    delta = metric.delta_at(mine.value or 0.0)
    estimates = {
        "checkpoint": mine,
        "one_more_training": expected,
        "difference": replace(difference, method=f"{difference.method}, against this checkpoint"),
        "beyond_retraining": _beyond(difference, delta),
    }
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    said = f"{metric.name} of the checkpoint {mine.value or 0.0:{form}}, of one more training by the recipe"
    return Measurement(
        estimates,
        against=Limit("beyond_retraining", at_most=delta),
        summary=f"{said} {expected.value or 0.0:{form}}{interval(expected, form)}, {metric.unit}.",
    )


def _same(first: PassData, second: PassData) -> bool:
    """Whether two passes are of one model, as far as what is stored of them tells."""
    if first.task == "classification":
        return np.array_equal(first.logits, second.logits)
    return np.array_equal(first.predicted.astype(np.float32), second.predicted.astype(np.float32))


def _one_more(metric: Metric, members: list[PassData]) -> Estimate:
    figures = np.array([score(metric, m).value for m in members], dtype=np.float64)
    if metric.kind == "callable":
        return one_more(figures, unit=metric.unit)
    # Against the first, for the sign and scale of the display unit; its own part is the same for all and drops out.
    each = gains(metric, members, [members[0]])
    clusters = members[0].clusters
    between = seed_variance(each, clusters=clusters)
    return one_more(figures, unit=metric.unit, between=between, bounds=metric.bounds)


def _beyond(difference: Estimate, delta: float) -> Estimate:
    """What is left of the difference when as much is taken off as one more training might differ by."""
    size = magnitude(difference)
    low, high = size.low, size.high
    method = "counted on these rows, beyond the prediction interval of one more training"
    half = difference.se and float(t_quantile((1 + difference.level) / 2, difference.df)) * difference.se
    if low is None or high is None or not half or (low <= delta and half > WIDEST * delta):
        method += " (none)" if low is None else f" (wider than {WIDEST} δ)"
        return Estimate(low, None, None, size.unit, size.n, f"{method}: undetermined", seeds=size.seeds)
    return Estimate(low, low, low, size.unit, size.n, method, seeds=size.seeds)
