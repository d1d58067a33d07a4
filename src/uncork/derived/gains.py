"""What models trained another way gain, whatever the metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.confidence import outputs
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.crossed import SeedVariance, gain_over_seeds
from uncork.stats.score import gain
from uncork.stats.two_level import two_level

if TYPE_CHECKING:
    from jaxtyping import Float


def gain_of(
    metric: Metric, before: Sequence[PassData], after: Sequence[PassData], *, prior: SeedVariance | None = None
) -> Estimate:
    """What `after` gains over `before` on the same rows, positive where better, in the display unit.

    One entry a seed; a side of one model is taken as it is. The mean over rows and seeds (`gain_over_seeds`), of
    callable metrics by `two_level`; of one model each over rows alone.
    """
    if metric.kind != "callable":
        return gain_over_seeds(metric, before, after, prior=prior)
    if len(before) == len(after) == 1:
        return gain(metric, before[0], after[0])
    sides = [[outputs(passed) for passed in side] for side in (before, after)]
    y = before[0].y

    def difference(weights: Float[np.ndarray, " n"], seed: int) -> float:
        rows = np.repeat(np.arange(len(y)), weights.astype(np.int64))
        old, new = (float(metric.spec(side[seed if len(side) > 1 else 0][rows], y[rows])) for side in sides)
        return metric.sign * (old - new)

    rng = generator(0, "gain over seeds", metric.name)
    return two_level(difference, before[0].clusters, max(len(before), len(after)), rng, unit=metric.unit)
