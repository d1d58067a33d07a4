"""What is lost without each part, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uncork.derived.gains import gain_of
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.idle_parts import IdlePartsData
from uncork.schema.metric import Metric
from uncork.stats.crossed import SeedVariance, gains, moderate, seed_variance
from uncork.stats.simultaneous import together

AS_IT_IS, TRAINED = "passed over", "trained without"


@dataclass(frozen=True)
class Part:
    """`how` it was left out: `AS_IT_IS` or `TRAINED`. block: its position among the data's blocks; None of a trick.

    loss: in the metric's display unit, positive where worse without; all parts' intervals hold together.
    """

    name: str
    how: str
    block: int | None
    loss: Estimate


def losses(data: IdlePartsData, metric: Metric) -> list[Part]:
    """Of blocks passed over in this very model over rows; of what was trained without over rows and seeds.

    The seed variances of other arms are pooled with each one's own (`moderate`). Bonferroni over all parts.
    """
    found: list[tuple[str, str, int | None, Estimate]] = []
    for i, name in enumerate(data.blocks):
        found.append((name, AS_IT_IS, i, _lost(metric, [data.without(-1)], [data.without(i)])))
    before = data.trained_without(-1)
    after = [data.trained_without(i) for i in range(len(data.arms))]
    own = [_between(metric, data, before, each) for each in after]
    for i, name in enumerate(data.arms):
        others = [v for j, v in enumerate(own) if j != i and v is not None]
        prior = moderate([v.variance for v in others], [v.df for v in others]) if others else None
        at = data.blocks.index(block) if (block := name.removeprefix("block ")) in data.blocks else None
        found.append((name, TRAINED, at, _lost(metric, before, after[i], prior)))
    widened = together([loss for *_, loss in found])
    return [Part(name, how, at, loss) for (name, how, at, _), loss in zip(found, widened, strict=True)]


def least(parts: Sequence[Part]) -> Estimate:
    """The smallest of all parts' losses: between the smallest of their lower and of their upper ends.

    As all intervals hold together, so does this one. An end that some part lacks is undetermined where it could be the
    smallest.
    """
    first = min(parts, key=lambda part: part.loss.value if part.loss.value is not None else float("inf")).loss
    lows = [part.loss.low for part in parts]
    highs = [part.loss.high for part in parts if part.loss.high is not None]
    low = None if None in lows else min(low for low in lows if low is not None)
    method = f"smallest of {len(parts)} that hold together"
    return Estimate(first.value, low, min(highs, default=None), first.unit, first.n, method, seeds=first.seeds)


def _lost(metric: Metric, before: list[PassData], after: list[PassData], prior: SeedVariance | None = None) -> Estimate:
    gain = gain_of(metric, before, after, prior=prior)
    return gain.scaled(-1, gain.unit).shifted(0.0)  # no -0


def _between(metric: Metric, data: IdlePartsData, before: list[PassData], after: list[PassData]) -> SeedVariance | None:
    if metric.kind == "callable":
        return None
    return seed_variance(gains(metric, before, after), clusters=data.clusters)
