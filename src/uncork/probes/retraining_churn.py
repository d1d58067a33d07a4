"""Training again changes the metric, and which cases are decided how.

What it measures
----------------
How much the metric varies between trainings by the same recipe on the same rows of train, on how many cases two such
models decide differently, and the smallest difference that a comparison of one training each can resolve.

Why it limits the model
-----------------------
Who retrains changes decisions that nobody meant to change. Who compares two models of one training each, and sees less
than the smallest resolvable difference, sees luck.

Estimator
---------
`seed_sd`: standard deviation of the metric between trainings, on these rows; χ² interval, which 3 trainings leave wide:
from half to six times the value. It is judged against δ: what a retraining may do to the metric and not matter.
`seed_sd_of_rows_alone` (error, accuracy): what it would be if every row's luck were its own, the root of the mean share
of pairs that differ in being right, over 2n; where rows' outcomes are as random as the error says it is √(error / 2n).
Interval: of the mean over rows, or groups of rows.
`churn`: share of rows on which two models decide differently, mean over all pairs of the models trained; t interval
over rows or groups of rows with a row added at either bound; of these trainings. Of a regression `prediction_change`:
mean absolute difference of two models' predictions. Headroom, exposed predictions: 1,000 × churn.
`resolvable`: the true difference of two recipes, one training of each on the same rows, that would be found with
probability .8 at 5 %: 2.8 · √2 · seed_sd, with its interval.

When it misleads
----------------
The luck of the training data is not in it: other rows of train would change more. With a fixed seed a recipe shows
less than it has: retrained models get seeds of their own. On few rows `seed_sd` is large because the rows are few, as
`seed_sd_of_rows_alone` says; the metric in the population then varies less.

Remedies and their safety
-------------------------
`ensemble` (checked): the mean of five trainings changes less from seed to seed. Compare recipes by several trainings
each (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> found = measure(pool=a_pool(v=2000, halves=0), facts=facts(), rng=np.random.default_rng(0))
>>> sd = found.estimates["seed_sd"]
>>> round(sd.low / sd.value, 2), round(sd.high / sd.value, 2)
(0.52, 6.28)

References
----------
Jordan, On the variance of neural network training with respect to test sets and distributions, ICLR 2024. Milani Fard
et al., Launch and iterate: reducing prediction churn, NeurIPS 2016. Dietterich, Approximate statistical tests for
comparing supervised classification learning algorithms, Neural Computation 10, 1998.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, PassData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import FEWEST_SEEDS, SEEDS, Pool, PoolData
from uncork.stats.deviation import deviation
from uncork.stats.means import mean
from uncork.stats.power import detectable
from uncork.stats.score import score

if TYPE_CHECKING:
    from jaxtyping import Float

    Difference = Callable[[PassData, PassData], np.ndarray]

_SHARES = ("error", "accuracy")


@probe(
    tier="defect",
    column="trust",
    title="Training again leaves the metric where it is",
    failure_title="Training again changes the metric by more than matters",
    requires={"pool": Pool(full=SEEDS), "facts": Facts()},
    remedies=("ensemble",),
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    members = [pool.validation_pass(int(i)) for i in pool.members(1)]
    if len(members) < FEWEST_SEEDS:
        why = pool.left_out.get("full", "left out")
        why = f"{len(members)} of {FEWEST_SEEDS} models retrained on all of train: {why}"
        return NotApplicable(pool.left_out.get("pool", why))
    metric = facts.metric
    figures = np.array([score(metric, m).value for m in members], dtype=np.float64)
    spread = deviation(figures, unit=metric.unit)
    estimates = {"seed_sd": spread, "resolvable": _resolvable(spread)}
    if metric.kind in _SHARES:
        estimates["seed_sd_of_rows_alone"] = _of_rows_alone(members).scaled(metric.scale, metric.unit)
    exposed = None
    if pool.task == "classification":
        churn = _over_pairs(members, lambda a, b: a.predicted != b.predicted, "share of rows", (0.0, 1.0))
        exposed = churn.scaled(1000, "predictions per 1,000")
        estimates["churn"] = churn
        said = f"Two trainings decide {exposed.value:.0f} of 1,000 cases differently{interval(exposed, '.0f')}"
    else:
        change = _over_pairs(members, lambda a, b: np.abs(a.predicted - b.predicted), "target's unit", None)
        estimates["prediction_change"] = change
        said = f"Two trainings' predictions differ by {change.value:.3g} on average{interval(change, '.3g')}"
    form = ".1f" if metric.unit.endswith("per 1,000") else ".3g"
    return Measurement(
        estimates,
        headroom=exposed,
        against=Limit("seed_sd", at_most=metric.delta_at(float(figures.mean()))),
        summary=f"{said}; {metric.name} varies by {spread.value or 0.0:{form}}{interval(spread, form)} {metric.unit}.",
    )


def _over_pairs(members: list[PassData], differ: Difference, unit: str, bounds: tuple[float, float] | None) -> Estimate:
    """Mean over rows of the mean over all pairs of models."""
    each: Float[np.ndarray, " n"] = np.mean([differ(a, b) for a, b in combinations(members, 2)], axis=0)
    found = mean(each, clusters=members[0].clusters, unit=unit, bounds=bounds, skewed=True)
    return replace(found, method=f"{found.method}, of these {len(members)} trainings")


def _of_rows_alone(members: list[PassData]) -> Estimate:
    """s.d. of a share of n rows whose outcomes vary independently: √(P(two trainings differ in being right) / 2n)."""
    right = _over_pairs(members, lambda a, b: (a.predicted == a.y) != (b.predicted == b.y), "share", (0.0, 1.0))
    n = len(members[0])
    value, low, high = (None if x is None else math.sqrt(x / (2 * n)) for x in (right.value, right.low, right.high))
    return replace(right, value=value, low=low, high=high, se=None, df=None)


def _resolvable(spread: Estimate) -> Estimate:
    """What two trainings must differ by in truth to be told apart, were their spread known."""
    of_two = Estimate(0.0, None, None, spread.unit, spread.n, "difference of two trainings", se=math.sqrt(2))
    factor = detectable(of_two, 0.0, 1) or math.nan
    return replace(spread.scaled(factor, spread.unit), method=f"{spread.method}, one training each, power .8")
