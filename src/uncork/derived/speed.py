"""How many times faster one model answers than another, from runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.ratios import geometric_mean

if TYPE_CHECKING:
    from jaxtyping import Float

#: Stretches of time, taken as independent: rounds that follow one another share what the machine is busy with.
BLOCKS = 10


UNIT = "times faster"


def times_faster(before: Float[np.ndarray, " rounds"], after: Float[np.ndarray, " rounds"]) -> Estimate:
    """Time of `before` over that of `after`, both timed in the same rounds, in their order: of the usual round.

    Unit: a stretch of consecutive rounds, ten in all; of each the ratio of the two medians, so that a pause of the
    machine counts for neither; geometric mean over stretches, t on the logarithms. Of fewer than 20 rounds
    undetermined.
    """
    if len(before) < 2 * BLOCKS:
        return Estimate(None, None, None, UNIT, len(before), "none: too few rounds")
    stretches = zip(np.array_split(before, BLOCKS), np.array_split(after, BLOCKS), strict=True)
    return geometric_mean(np.array([np.median(a) / np.median(b) for a, b in stretches]), unit=UNIT)


def times_faster_on_average(before: Float[np.ndarray, " rounds"], after: Float[np.ndarray, " rounds"]) -> Estimate:
    """The same of all rounds together, where a model may take longer over some than over others: ratio of the sums.

    Jackknife over the ten stretches, on the logarithm: their own ratios, averaged, would favour what varies more (by
    13 % in simulation, of 2 rounds a stretch of which half take a quarter). Of fewer than 20 rounds undetermined.
    """
    if len(before) < 2 * BLOCKS:
        return Estimate(None, None, None, UNIT, len(before), "none: too few rounds")
    slow, fast = (np.array([s.sum() for s in np.array_split(x, BLOCKS)]) for x in (before, after))
    whole = np.log(slow.sum() / fast.sum())
    without = np.log((slow.sum() - slow) / (fast.sum() - fast))
    return geometric_mean(np.exp(BLOCKS * whole - (BLOCKS - 1) * without), unit=UNIT)
