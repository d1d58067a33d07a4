"""What the mean over views of a row gains, and what changed views cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.order import random_half
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.missing_invariance import InvarianceData
from uncork.stats.means import mean
from uncork.stats.score import gain

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def best_way(data: InvarianceData, metric: Metric, ways: Int[np.ndarray, " k"] | None = None) -> tuple[int, float]:
    """(the way whose mean over views scores best, what it gains); (−1, 0) where none does better than the row alone."""
    before = data.passed()
    tried = range(len(data.names)) if ways is None else [int(way) for way in ways]
    gains = {way: gain(metric, before, data.passed(way)).value or 0.0 for way in tried}
    best = max(gains, key=lambda way: (gains[way], -way), default=-1)
    return (best, gains[best]) if best >= 0 and gains[best] > 0 else (-1, 0.0)


def averaging_gain(
    data: InvarianceData, metric: Metric, rng: np.random.Generator, ways: Int[np.ndarray, " k"] | None = None
) -> Estimate:
    """What the metric gains where each half of the rows is averaged over the views (of all, or of `ways`) that do best
    on the other half; none where none does. Paired, as `gain`: what choosing varies by is left out."""
    half = random_half(data.passed(), rng)
    best = np.full(len(data), -1)
    if half.any() and not half.all():
        for chooses in (half, ~half):
            best[~chooses] = best_way(_of(data, chooses), metric, ways)[0]
    return gain(metric, data.passed(), data.mixed(best))


def lost(data: InvarianceData, way: int, level: float = 0.95) -> Estimate:
    """By how many per 1,000 changed views are decided wrong more often than the rows as they are.

    Paired; t over rows or groups, a row added at either bound.
    """
    more = data.lost[way].astype(np.float64) - (data.given.argmax(axis=1) != data.y)
    found = mean(more, clusters=data.clusters, unit="share", bounds=(-1.0, 1.0), skewed=True, level=level)
    return found.scaled(1000, "more errors per 1,000 views")


def _of(data: InvarianceData, rows: Float[np.ndarray, " n"]) -> InvarianceData:
    some = {name: getattr(data, name)[rows] for name in ("rows", "clusters", "y", "given")}
    return replace(data, averaged=data.averaged[:, rows], lost=data.lost[:, rows], **some)
