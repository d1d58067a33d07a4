"""The fastest of several ways to run the same net, chosen on rows of train alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uncork.data.split import Split
from uncork.derived.speed import times_faster
from uncork.models.adapt import adapt
from uncork.models.base import Model
from uncork.models.clock import in_turn, side_by_side
from uncork.remedies._contract import Case
from uncork.schema.artifacts import PassData
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator
from uncork.stats.score import gain, score

#: Rows of train that say what is lost, and that are timed; rounds of timing, or fewer in so many seconds.
SCORED, TIMED, ROUNDS, SECONDS = 2000, 32, 60, 5.0
BATCH = 64
#: A later way has to be surely so many times as fast as the one that is chosen before it.
WORTH = 1.1


@dataclass(frozen=True)
class Fastest:
    """`factor`: how many times as fast as the way it is compared with, one row at a time. `tried`: all, in words."""

    name: str
    model: Model
    factor: Estimate
    tried: str


def drawn(case: Case, most: int, *key: str) -> Split:
    """Rows of train, a seeded sample of at most so many. Raises Unavailable without train."""
    train: Split | None = case.subject.train
    if train is None or train.y is None:
        raise Unavailable("what is chosen and calibrated is so on rows of train: give Subject(train=...)")
    return train.subset(np.sort(generator(case.seed, *key).permutation(len(train))[:most]))


def fastest(case: Case, before: Model, ways: Mapping[str, Model], unit: Mapping[str, Model] | None = None) -> Fastest:
    """Of `ways` the fastest that loses no more than δ against `before` on rows of train.

    Their time is compared with that of the only model in `unit`, by default of `before`. Raises Unavailable where all
    lose more.
    """
    scored, timed = drawn(case, SCORED, "scored"), drawn(case, TIMED, "timed")
    metric, reference = case.subject.metric, _passed(before, scored, case.task)
    value = score(metric, reference).value
    told, within = [], {}
    for name, model in ways.items():
        lost = gain(metric, reference, _passed(model, scored, case.task)).scaled(-1, metric.unit).value
        if lost is not None and lost <= metric.delta_at(value or 0.0):
            within[name] = model
        told.append(f"{name} loses {lost + 0.0:.3g}" if lost is not None else f"{name} gives no figures")
    if not within:
        raise Unavailable(f"all lose more than is tolerated on train: {', '.join(told)} {metric.unit}")
    (called, base), *_ = (unit or {"the model before": before}).items()
    models = [base, *within.values()]
    batches = [timed.take(np.array([i])) for i in range(len(timed))]
    once = side_by_side([in_turn(model.outputs, batches) for model in models], 3).min(axis=0).sum()
    rounds = int(np.clip(SECONDS / once, 20, ROUNDS))
    seconds = side_by_side([in_turn(model.outputs, batches) for model in models], rounds, seed=case.seed)
    chosen = 1
    for i in range(2, len(models)):
        again = times_faster(seconds[:, chosen], seconds[:, i])
        if again.low is not None and again.low > WORTH:
            chosen = i
    name = list(within)[chosen - 1]
    factors = [times_faster(seconds[:, 0], seconds[:, i + 1]).value for i in range(len(within))]
    speeds = [f"{way} {factor:.2f}" for way, factor in zip(within, factors, strict=True) if factor is not None]
    tried = f"times as fast as {called} on train: {', '.join(speeds)}; errors there: {', '.join(told)} {metric.unit}"
    return Fastest(name, within[name], times_faster(seconds[:, 0], seconds[:, chosen]), tried)


def plain(case: Case) -> Model:
    """The subject's model, which has to be as it was trained: nothing around it."""
    return adapt(case.subject, case.task)


def _passed(model: Model, split: Split, task: str) -> PassData:
    batches = [split.take(np.arange(i, min(i + BATCH, len(split)))) for i in range(0, len(split), BATCH)]
    out = np.concatenate([model.outputs(batch).logits for batch in batches])
    assert split.y is not None
    if task == "classification":
        return PassData.of_logits(out, split.y)
    return PassData.of_values(out[:, 0], split.y)
