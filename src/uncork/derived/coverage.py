"""How often conformal sets and intervals hold the truth on rows that did not calibrate them, and where least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.words import interval
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Detail, Estimate
from uncork.stats.conformal import conformal_quantile, quantiles_by
from uncork.stats.means import clustered
from uncork.stats.simultaneous import shares_by_class

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

LEAST_IN_GROUP = 30  # rows, for a share of them to say anything
MOST_SHOWN = 20


@dataclass(frozen=True)
class Parts:
    """Coverage in each kind of rows (class, part of the predictions): of one limit for all, and of limits of their own.

    Of either all intervals hold together.
    """

    one_limit: tuple[Estimate, ...]
    own_limits: tuple[Estimate, ...]

    def table(self, title: str, names: Sequence[str], note: str = "") -> Detail:
        """The kinds that one limit holds least, first."""
        order = sorted(range(len(names)), key=lambda kind: _proven(self.one_limit[kind]))[:MOST_SHOWN]
        rows = [[names[k], self.one_limit[k].n, percent(self.one_limit[k]), percent(self.own_limits[k])] for k in order]
        columns = ["", "rows", "held with one limit for all", "held with limits of their own"]
        return Detail("table", title, {"columns": columns, "rows": rows}, note=note)


def by_kind(
    scores: Float[np.ndarray, " n"],
    calibrates: Bool[np.ndarray, " n"],
    which: Int[np.ndarray, " n"],
    kinds: int,
    coverage: float,
    unit: str,
) -> Parts:
    """Coverage of rows that don't calibrate, where a truth is held whose score is at most the calibrated limit."""
    fresh, kind = scores[~calibrates], which[~calibrates]
    limit = conformal_quantile(scores[calibrates], coverage)
    own = quantiles_by(scores[calibrates], which[calibrates], kinds, coverage)
    shares = (shares_by_class(fresh <= most, kind, kinds, unit=unit) for most in (limit, own[kind]))
    return Parts(*shares)


def worst(shares: Sequence[Estimate]) -> Estimate:
    """The one that is proven to be lowest: that of the lowest upper end."""
    return min(shares, key=_proven)


def worst_group(
    passed: PassData, scores: Float[np.ndarray, " n"], calibrates: Bool[np.ndarray, " n"], coverage: float, unit: str
) -> Estimate | None:
    """The least coverage of a group that doesn't calibrate, of those with 30 rows or more; None of fewer than two.

    Rows of a group are independent draws from it; all groups' intervals hold together.
    """
    if not clustered(passed.clusters, len(passed)):
        return None
    fresh = ~calibrates
    names, which, size = np.unique(passed.clusters[fresh], return_inverse=True, return_counts=True)
    large = np.flatnonzero(size >= LEAST_IN_GROUP)
    if len(large) < 2 or not calibrates.any():
        return None
    held = scores[fresh] <= conformal_quantile(scores[calibrates], coverage)
    place = np.full(len(names), -1)
    place[large] = np.arange(len(large))
    chosen = place[which] >= 0
    return worst(shares_by_class(held[chosen], place[which[chosen]], len(large), unit=unit))


def percent(share: Estimate) -> str:
    """A share in words, with its interval."""
    return "" if share.value is None else f"{100 * share.value:.1f} %{interval(share.scaled(100, '%'))}"


def _proven(share: Estimate) -> float:
    return 1.0 if share.high is None else share.high
