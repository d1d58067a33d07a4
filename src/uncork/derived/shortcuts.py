"""How far decisions follow a part of the row, and what that costs where the part speaks for another class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.schema.shortcut_features import ShortcutsData
from uncork.stats.binomial import share
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Bool

ERRORS = "errors per 1,000"


def followed(data: ShortcutsData, c: int) -> Estimate:
    """Share of decisions that become the class of the row that part `c` was taken from, beyond those that do with as
    much taken elsewhere from it. Paired; t over rows or groups, a row added at either bound. Intervals of all parts
    hold together (Bonferroni), so that the one that is followed most may be picked."""
    gap = (data.moved[c] - data.moved_beside[c]).astype(np.float64)
    unit = "share of decisions, beyond as much elsewhere"
    clusters, level = data.clusters[: len(gap)], 1 - 0.05 / len(data.names)
    return mean(gap, clusters=clusters, unit=unit, bounds=(-1.0, 1.0), skewed=True, level=level)


def most_followed(data: ShortcutsData) -> int:
    """The part that decisions follow most, of those of which it is odd; of all where there are none.

    By where decisions go alone: errors play no part in the choice, so that what it costs may be measured on the same
    rows.
    """
    gap = (data.moved - data.moved_beside).mean(axis=1)
    odd = np.array(data.suspect, bool)
    return int(np.where(odd if odd.any() else True, gap, -np.inf).argmax())


def owed(data: ShortcutsData, c: int) -> Estimate:
    """Errors per 1,000 rows where part `c` speaks against the label, and that are right once it is one of the row's own
    class, beyond those that are with as much taken elsewhere from the same rows. Paired, as `followed`."""
    gap = np.where(disagreeing(data, c), data.mended[c].astype(np.float64) - data.mended_beside[c], 0.0)
    found = mean(gap, clusters=data.clusters, unit="share", bounds=(-1.0, 1.0), skewed=True)
    return found.scaled(1000, ERRORS)


def disagreeing(data: ShortcutsData, c: int) -> Bool[np.ndarray, " m"]:
    """Rows against whose label part `c` speaks: it is most often another class's in train. All, where there is none."""
    mask: Bool[np.ndarray, " m"] = data.says[c] != data.y
    return mask & (data.says[c] >= 0) if (data.says >= 0).any() else np.ones(len(data), bool)


def error_where(data: ShortcutsData, rows: Bool[np.ndarray, " m"]) -> Estimate:
    """Share of these rows that are decided wrong."""
    return share(data.wrong[rows], data.clusters[rows])
