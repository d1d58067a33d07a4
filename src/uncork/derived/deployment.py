"""Which engine answers fastest, and how fast the model as it is answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.speed import times_faster
from uncork.schema.deployment import DeploymentData
from uncork.schema.finding import Estimate
from uncork.stats.quantiles import median, quantile

if TYPE_CHECKING:
    from jaxtyping import Float

#: An engine, and a number of threads: positions in `engines` and `threads`.
Way = tuple[int, int]


def fastest(data: DeploymentData) -> tuple[Way, Way, Estimate]:
    """(the model as it is, the fastest way to run it, how many times faster), each on its best threads.

    The best of the other engines that decide alike is chosen on the first quarter of the runs and compared with the
    model as it is on the rest. A factor is 1 or more: where the other is slower, the model stays as it is; exactly 1
    where there is no other.
    """
    cut = data.single.shape[2] // 4
    chosen, rest = data.single[:, :, :cut], data.single[:, :, cut:]
    own, *others = [_best(chosen, i) for i in range(len(data.engines)) if data.flips[i] == 0]
    if not others:
        return own, own, Estimate(1.0, 1.0, 1.0, "times faster", rest.shape[2], "no other engine decides alike")
    engine = min(others, key=lambda way: float(np.median(chosen[way])))
    found = times_faster(rest[own], rest[engine])
    value, low, high = (None if x is None else max(1.0, x) for x in (found.value, found.low, found.high))
    faster = found.value is not None and found.value > 1
    return own, engine if faster else own, replace(found, value=value, low=low, high=high)


def _best(seconds: Float[np.ndarray, "e t runs"], engine: int) -> Way:
    return engine, int(np.median(seconds[engine], axis=1).argmin())


def latency(data: DeploymentData, way: Way, q: float) -> Estimate:
    """The q-quantile of the time of one row, ms."""
    return quantile(1000 * data.single[way], q, unit="ms")


def throughput(data: DeploymentData, engine: int) -> Estimate:
    """Rows a second at the size of batch and number of threads where they are most; undetermined where none was run."""
    rows = data.sizes[:, None] / data.batch[engine]
    if np.isnan(rows).all():
        return Estimate(None, None, None, "rows a second", 0, "none: it was not run in batches")
    middle = np.median(rows, axis=-1)
    at = np.unravel_index(int(middle.argmax()), middle.shape)
    return median(rows[at], unit=f"rows a second, {data.sizes[at[1]]} at once")
