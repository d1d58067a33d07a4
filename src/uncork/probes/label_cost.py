"""Labels of chosen rows are worth more than those of random ones.

What it measures
----------------
How many times as many labels of random rows are needed for what a strategy of choosing rows (margin, TypiClust, BADGE)
makes of its labels, simulated on train, whose labels are known; and how many labels buy the next point of accuracy.

Why it limits the model
-----------------------
Labels cost people's time. Where many rows look alike, most random labels say what the model knows already.

Estimator
---------
From 15 % of train each strategy buys as many rows again, chance as many and three times as many; a model is trained on
each from one seed, for as many steps, and judged on validation; five repeats with rows and seeds of their own.
`gain`: mean metric at as many random labels less that of the strategy of the largest gain, over rows and repeats,
crossed variance components; its level is 1 − .05/3, so that it holds whichever of the three was picked. Judged against
δ. `multiplier`, the headroom: the number of random labels whose badness, on a line between the sizes in the logarithm
of their number, is the strategy's, over its own number; all numbers at which the difference is not told from 0 at that
level, over rows and repeats. Random rows have 1 by construction. An end is missing where twice as many labels, or half,
don't bound it. `next_point_random`, `next_point_chosen`: labels beyond the first 15 % until 10 fewer of 1,000 are wrong
(δ in other metrics), found alike, each at 95 %. Bias: that of straight lines.

When it misleads
----------------
It tells of strategies from 15 to 30 % of train, not beyond; later ones gain less as a rule. Rows of train may have been
picked already: `unlabelled` rows hold more that is strange, or useless. Heads on a frozen encoder, trained where nets
can't be, are gained by less than nets. Rows that are hard to people cost more and get more wrong labels.

Remedies and their safety
-------------------------
`uncork acquire` ranks the rows of `unlabelled` by a strategy that surely gained here (advice: labels are people's).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.label_cost import a_label_cost
>>> found = measure(cost=a_label_cost(chosen={"badge": 0.25}), facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 1, found.estimates["gain"].low > 5
(True, True)

References
----------
Hacohen, Dekel & Weinshall, Active learning on a budget, ICML 2022. Ash et al., BADGE, ICLR 2020. Lowell, Lipton &
Wallace, Practical obstacles to deploying active learning, EMNLP 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.label_multiplier import labels_to, strategy_gains, strategy_multiplier
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.label_cost import LabelCost, LabelCostData
from uncork.schema.metric import Metric
from uncork.stats.multiplicity import at_level
from uncork.stats.score import score

POINT = 10.0  # per 1,000: a point of accuracy


@probe(
    tier="investment",
    column="cost",
    title="Labels of random rows do as well as those of chosen ones",
    failure_title="Labels of chosen rows are worth more than those of random ones",
    requires={"cost": LabelCost(), "facts": Facts()},
    preview=True,
)
def measure(*, cost: LabelCostData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric = facts.metric
    if metric.kind == "callable":
        return NotApplicable(f"{metric.name} is a function of many rows at once: no row's part of it is known")
    gains, level = strategy_gains(cost, metric), 1 - 0.05 / len(cost.strategies)
    best = max(gains, key=lambda name: gains[name].value or 0.0)
    gain, multiplier = at_level(gains[best], level), strategy_multiplier(cost, metric, best, level=level)
    now = score(metric, cost.passes(cost.curve[1])[0]).value or 0.0
    delta = metric.delta_at(now)
    point = POINT if metric.kind in ("error", "accuracy") else delta
    points = {
        "next_point_random": labels_to(cost, metric, point),
        "next_point_chosen": labels_to(cost, metric, point, best),
    }
    each = {f"gain_{name}": found for name, found in gains.items()}
    return Measurement(
        {"gain": gain, "multiplier": multiplier, **points, **each},
        headroom=multiplier,
        against=Limit("gain", at_most=delta),
        details=(_table(cost, metric),),
        summary=_said(cost, best, multiplier, gain, points),
    )


def _table(cost: LabelCostData, metric: Metric) -> Detail:
    """Mean metric by labels, at random and by strategy."""

    def mean(logits: np.ndarray) -> float:
        return round(float(np.mean([score(metric, p).value or 0.0 for p in cost.passes(logits)])), 4)

    rows: list[list[object]] = [["random", int(n), mean(c)] for n, c in zip(cost.sizes, cost.curve, strict=True)]
    rows += [[name, int(cost.sizes[1]), mean(cost.chosen[i])] for i, name in enumerate(cost.strategies)]
    columns = ["strategy", "labels", f"{metric.name} ({metric.unit})"]
    note = f"Trained: {cost.by}. Mean of {cost.curve.shape[1]} repeats."
    return Detail("table", f"Labels bought on {cost.available} rows of train", {"columns": columns, "rows": rows}, note)


def _said(cost: LabelCostData, best: str, multiplier: Estimate, gain: Estimate, points: dict[str, Estimate]) -> str:
    def labels(found: Estimate) -> str:
        beyond = f"more than {cost.sizes[-1] - cost.sizes[0]}" if found.high is None else "an unknown number"
        return beyond if found.value is None else f"{found.value:.0f}{interval(found, '.0f')}"

    times = (
        "an unknown number of" if multiplier.value is None else f"{multiplier.value:.2g}{interval(multiplier, '.2g')}"
    )
    first, second = points.values()
    return (
        f"{cost.sizes[1]} labels by {best} are worth {times} times as many random ones, and gain {gain.value:.3g}"
        f"{interval(gain)} {gain.unit}. The next point takes {labels(first)} labels at random, {labels(second)} by "
        f"{best}. Trained: {cost.by}."
    )
