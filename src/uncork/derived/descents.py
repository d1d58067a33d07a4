"""How much sooner one optimiser reaches what another ends at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.descents import SHARES, DescentsData
from uncork.schema.finding import Estimate
from uncork.stats.means import mean
from uncork.stats.ratios import geometric_mean

if TYPE_CHECKING:
    from jaxtyping import Float

#: Factors beyond this were not measured: the shortest training takes a quarter of the time.
MOST = SHARES[0] / SHARES[-1]


def times_faster(data: DescentsData, finalist: int) -> Estimate:
    """The recipe's time over the time in which this finalist reaches the loss that the recipe ends at, by seed.

    Between the trained shares of the time the loss is taken as linear in the logarithm of time; what is reached in the
    shortest training counts as `MOST`. Where it ends above the recipe's loss, the time in which the recipe reaches its
    loss stands in, so that the factor is below 1. Infinite losses are never reached.
    """
    pairs = zip(data.loss[0], data.loss[finalist], strict=True)
    return geometric_mean(np.array([_factor(own, other) for own, other in pairs]), unit="times faster")


def rates_within(data: DescentsData, optimiser: int) -> tuple[float, float] | None:
    """(lowest, highest) rate around its best that, as all between, one standard error can't tell from it; None where
    all diverge.

    Of one training each: how much training again moves a loss is not part of it.
    """
    if not np.isfinite(data.screened[optimiser]).any():
        return None
    order = np.argsort(data.rates[optimiser])
    lost = (data.screened[optimiser] - data.screened[optimiser].min())[order]
    near = lost <= data.behind[optimiser][order]  # false of NaN
    first = last = int(lost.argmin())
    while first > 0 and near[first - 1]:
        first -= 1
    while last < len(order) - 1 and near[last + 1]:
        last += 1
    return float(data.rates[optimiser][order][first]), float(data.rates[optimiser][order][last])


def loss_gained(data: DescentsData, finalist: int) -> Estimate:
    """Loss on validation, nats or squared units, that this finalist ends below the recipe, in the same time."""
    own, other = data.loss[0, :, 0], data.loss[finalist, :, 0]
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return Estimate(None, None, None, "loss", len(own), "none: some trainings diverged")
    return mean(own - other, unit="loss")


def _factor(own: Float[np.ndarray, " shares"], other: Float[np.ndarray, " shares"]) -> float:
    if other[0] <= own[0]:
        return 1 / _reached(other, own[0])
    return _reached(own, other[0])


def _reached(loss: Float[np.ndarray, " shares"], target: float) -> float:
    """The share of the time at which a loss first is at most `target`, which it is at the whole of it."""
    for i in reversed(range(len(SHARES))):
        if loss[i] <= target:
            if i == len(SHARES) - 1 or not np.isfinite(loss[i + 1]):
                return SHARES[i]
            part = (loss[i + 1] - target) / (loss[i + 1] - loss[i])
            return float(SHARES[i + 1] * (SHARES[i] / SHARES[i + 1]) ** part)
    return SHARES[0]
