"""Rows in the split's own order, so that no result depends on how an artifact happens to be sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.artifacts import PassData
from uncork.stats.means import clustered

if TYPE_CHECKING:
    from jaxtyping import Bool


def ordered(passed: PassData) -> PassData:
    """The same rows sorted by their position in the split."""
    if (np.diff(passed.rows) > 0).all():
        return passed
    return passed.take(np.argsort(passed.rows, kind="stable"))


def one_per_group(passed: PassData, rng: np.random.Generator) -> PassData:
    """One random row of each group, which makes rows independent again; the pass itself where nothing is grouped.

    A row of a large group is picked as often as its group is, not as often as the group has rows.
    """
    if not clustered(passed.clusters, len(passed)):
        return passed
    shuffled = rng.permutation(len(passed))
    _, first = np.unique(passed.clusters[shuffled], return_index=True)
    return passed.take(np.sort(shuffled[first]))


def random_half(passed: PassData, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """A mask over about half of the rows; rows of one group fall on the same side."""
    names, which = np.unique(passed.clusters, return_inverse=True)
    side = np.zeros(len(names), bool)
    side[rng.permutation(len(names))[: len(names) // 2]] = True
    mask: Bool[np.ndarray, " n"] = side[which]
    return mask
