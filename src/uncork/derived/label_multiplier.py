"""Labels that are worth more than random ones: what a model gains by them, and how many random ones would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.gains import gain_of
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.label_cost import LabelCostData
from uncork.schema.metric import Metric
from uncork.stats.labels_needed import labels_needed
from uncork.stats.score import influence

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TIMES = "times as many random labels"


def badness(metric: Metric, passes: Sequence[PassData]) -> Float[np.ndarray, "r v"]:
    """Each repeat's and row's part of the metric in the display unit, turned so that lower is better."""
    parts = [influence(metric, passed) for passed in passes]
    each: Float[np.ndarray, "r v"] = metric.scale * np.array([value + part for value, part in parts])
    return metric.scale - each if metric.higher_is_better else each


def multiplier(
    metric: Metric,
    sizes: Int[np.ndarray, " k"],
    curve: Sequence[Sequence[PassData]],
    model: Sequence[PassData],
    labels: int,
    *,
    level: float = 0.95,
) -> Estimate:
    """How many times as many random labels are needed for what `model` makes of `labels` (`labels_needed`).

    curve: passes of each repeat, by size.
    """
    levels = np.array([badness(metric, passes) for passes in curve])
    found = labels_needed(sizes, levels, badness(metric, model), clusters=model[0].clusters, level=level)
    return found.scaled(1 / labels, TIMES)


def strategy_gains(data: LabelCostData, metric: Metric) -> dict[str, Estimate]:
    """What each strategy gains over as many random rows: mean over rows and repeats, crossed; in the display unit."""
    random = data.passes(data.curve[1])
    return {name: gain_of(metric, random, data.passes(data.chosen[i])) for i, name in enumerate(data.strategies)}


def strategy_multiplier(data: LabelCostData, metric: Metric, strategy: str, *, level: float = 0.95) -> Estimate:
    """`multiplier` of what one strategy bought."""
    chosen = data.passes(data.chosen[data.strategies.index(strategy)])
    curve = [data.passes(each) for each in data.curve]
    return multiplier(metric, data.sizes, curve, chosen, int(data.sizes[1]), level=level)


def labels_to(data: LabelCostData, metric: Metric, point: float, strategy: str | None = None) -> Estimate:
    """Labels, beyond those at first, until the metric is better by `point` (display unit); at random by default.

    Of a strategy between what it had at first and what it bought.
    """
    bought = data.curve if strategy is None else np.stack([data.curve[0], data.chosen[data.strategies.index(strategy)]])
    levels = np.array([badness(metric, data.passes(each)) for each in bought])
    sizes = data.sizes[: len(bought)]
    return labels_needed(sizes, levels, levels[0] - point, clusters=data.clusters).shifted(-float(sizes[0]))
