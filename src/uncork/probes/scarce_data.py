"""More rows to train on would help.

What it measures
----------------
What twice and four times as many rows of train would gain on validation, forecast from models trained on an eighth, a
quarter, a half and all of train.

Why it limits the model
-----------------------
Where the curve still falls, labels buy quality; where it is flat, they are wasted. Nothing is wrong with the model.

Estimator
---------
`gain_at_2x`, the headroom, and `gain_at_4x`: posterior means of the fall of a + b · n^−c beyond the rows there are,
with 2 % of misfit at each size, over a grid; 95 % intervals. Units: permutations of train, as models on parts of one
are not independent, and rows, or groups of rows, of validation. Display unit, positive where better; AUC and accuracy
enter as what they lack of 1. All models took the same number of optimiser steps: with the same number of epochs small
parts would look worse than they are. `level`: mean metric of the models on all of train, over rows and seeds.
It is a forecast: no measurement proves a gain at twice the rows before they are there. Gains are cut at 0.
Bias: the prior's, where the sizes seen can't tell a floor from a slow fall.
Withheld where steps were not matched or are unknown, under 300 steps, and where a size has fewer than two models.

When it misleads
----------------
An undertrained recipe has another curve: mend undertraining first. The forecast is for more rows like these; chosen
rows may gain more, and rows from elsewhere less. New rows are taken to be labelled no better than these.

Remedies and their safety
-------------------------
`augment` (checked): changes rows at random, as the label allows. `pseudo-label` (checked): rows of `unlabelled` join
where their label is foretold surely. Collect or label more rows (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> falling = {8: 0.4, 4: 0.28, 2: 0.2, 1: 0.14}
>>> pool = a_pool(n=800, v=4000, quarters=4, eighths=8, error=falling)
>>> found = measure(pool=pool, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 5, found.estimates["gain_at_4x"].value > found.headroom.value
(True, True)

References
----------
Hestness et al., Deep learning scaling is predictable, empirically, arXiv 1712.00409. Viering & Loog, The shape of
learning curves, IEEE TPAMI 45, 2023. Alabdulmohsin, Neyshabur & Zhai, Revisiting neural scaling laws, NeurIPS 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import SEEDS, SIZES, Pool, PoolData
from uncork.stats.crossed import crossed
from uncork.stats.learning_curve import LearningCurve, learning_curve
from uncork.stats.score import influence

if TYPE_CHECKING:
    from jaxtyping import Float

FEWEST_STEPS = 300
FEWEST = 2  # models of a size
TWICE, FURTHEST = 2.0, 4.0


@probe(
    tier="investment",
    column="quality",
    title="More rows to train on would change little",
    failure_title="More rows to train on would help",
    requires={"pool": Pool(halves=8, quarters=4, eighths=8, full=SEEDS), "facts": Facts()},
    remedies=("augment", "pseudo-label"),
    buys=(1.0, 2.0),  # as many rows again, and a training of twice as many
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric = facts.metric
    why = _withheld(pool, metric)
    if why:
        return NotApplicable(why)
    values = {size: _badness(pool, metric, size) for _, size in SIZES}
    sizes, permutations = zip(*((len(pool.y) / s, pool.permutation[pool.members(s)]) for s in values), strict=True)
    known = {"clusters": pool.validation_clusters, "unit": metric.unit}
    curve = learning_curve(sizes, list(values.values()), permutations, **known, multiples=(TWICE, FURTHEST))
    now = crossed(values[1], **known)
    now = now.scaled(-1, metric.unit).shifted(metric.scale) if metric.higher_is_better else now
    headroom = curve.gains[TWICE]
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    said = [
        f"{factor:g} times as many rows {'unknown' if e.value is None else f'{e.value:{form}}'}{interval(e, form)}"
        for factor, e in curve.gains.items()
    ]
    return Measurement(
        {"gain_at_2x": headroom, "gain_at_4x": curve.gains[FURTHEST], "level": now},
        headroom=headroom,
        details=(*_drawn(curve, metric), _seen(pool, metric, values)),
        summary=f"Forecast gain of {', of '.join(said)} {metric.unit}.",
    )


def _withheld(pool: PoolData, metric: Metric) -> str:
    """Why there is no forecast; "" where there is."""
    for name, size in SIZES:
        if len(pool.members(size)) < FEWEST:
            why = f"fewer than {FEWEST} models of size {name}: {pool.left_out.get(name, 'left out')}"
            return pool.left_out.get("pool", why)
    if metric.kind == "callable":
        return f"{metric.name} is a function of many rows at once: no row's part of it is known"
    steps = [int(pool.steps[i]) for _, size in SIZES for i in pool.members(size)]
    if not pool.matched or min(steps) == 0:
        return "the models did not all take the same number of optimiser steps: the curve would be that of the steps"
    if min(steps) < FEWEST_STEPS:
        return f"{min(steps)} optimiser steps: under {FEWEST_STEPS} the curve is that of training, not of the data"
    return ""


def _badness(pool: PoolData, metric: Metric, size: int) -> Float[np.ndarray, "m v"]:
    """Each model's and row's part of the metric in the display unit, turned so that lower is better."""
    parts = [influence(metric, pool.validation_pass(int(i))) for i in pool.members(size)]
    each: Float[np.ndarray, "m v"] = metric.scale * np.array([value + part for value, part in parts])
    return metric.scale - each if metric.higher_is_better else each


def _turned(badness: np.ndarray, metric: Metric) -> list[float]:
    """Back to the metric."""
    return [float(metric.scale - b if metric.higher_is_better else b) for b in badness]


def _drawn(curve: LearningCurve, metric: Metric) -> tuple[Detail, ...]:
    if curve.y is None or curve.low is None or curve.high is None:
        return ()
    ends = (curve.high, curve.low) if metric.higher_is_better else (curve.low, curve.high)
    data = {
        "x": curve.x.tolist(),
        "y": _turned(curve.y, metric),
        "low": _turned(ends[0], metric),
        "high": _turned(ends[1], metric),
        "x_label": "rows to train on",
        "y_label": metric.unit,
        "diagonal": False,
    }
    return (
        Detail("curve", "Learning curve", data, note="Beyond the rows there are it is a forecast; 95 % intervals."),
    )


def _seen(pool: PoolData, metric: Metric, values: dict[int, Float[np.ndarray, "m v"]]) -> Detail:
    lines = [
        [round(len(pool.y) / size), len(each), round(_turned(np.array([each.mean()]), metric)[0], 4)]
        for size, each in sorted(values.items(), reverse=True)
    ]
    columns = ["rows to train on", "models", f"{metric.name} ({metric.unit})"]
    return Detail("table", "Models by size", {"columns": columns, "rows": lines})
