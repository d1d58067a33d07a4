"""How many random labels it takes to reach a level, from models trained on random rows of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.crossed import crossed
from uncork.stats.means import clustered

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_POINTS = 25  # sizes that are tried
_HALVINGS = 5  # by which an end is placed between two of them


def labels_needed(
    sizes: Int[np.ndarray, " k"],
    curve: Float[np.ndarray, "k r n"],
    target: Float[np.ndarray, "r n"],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The number of random labels whose mean badness is that of `target`, which is known from the same repeats.

    curve[k, r, i]: badness (lower is better) on row i of the model that repeat r trained on sizes[k] random rows,
    nested and ascending; target[r, i]: of the model it is compared with. Badness between two sizes is taken to lie on a
    straight line in the logarithm of the size, which bends where a size was tried and nowhere else.
    Interval: from the least to the largest size at which the mean of curve − target is not told from 0 (`crossed`:
    over repeats and rows, or clusters of rows), Fieller's idea for a bent line. Of two arms that are alike it holds
    their size at least as often as `crossed` holds 0. An end is None where the sizes tried don't bound it, the value
    where the mean does not cross. Unit: repeats, two or more. ValueError: fewer, or another order.
    """
    sizes = np.asarray(sizes, np.float64)
    if curve.shape[1] < 2 or len(sizes) < 2 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"{curve.shape[1]} repeats of sizes {sizes.tolist()}: give two or more of each, ascending")
    repeats, rows = target.shape
    clusters = clusters if clustered(clusters, rows) else None
    units = "rows" if clusters is None else "groups of rows"

    def apart(size: float) -> Estimate:
        return crossed(_at(size, sizes, curve) - target, clusters=clusters, unit="badness", level=level)

    grid = np.unique(np.r_[np.geomspace(sizes[0], sizes[-1], _POINTS), sizes])
    found = [apart(size) for size in grid]
    value = _crossing(grid, np.array([e.value for e in found], np.float64))
    if value is not None and value not in grid:  # which may be all that is not ruled out
        at = int(np.searchsorted(grid, value))
        grid, found = np.insert(grid, at, value), [*found[:at], apart(value), *found[at:]]
    low, high = _ends(grid, [_alike(e) for e in found], lambda size: _alike(apart(size)))
    if low is None and high is None and not any(map(_alike, found)):
        # Random rows are surely worse, or better, at every size that was tried.
        low, high = (float(grid[-1]), None) if (found[-1].value or 0.0) > 0 else (None, float(grid[0]))
    method = f"crossed t over {units} × {repeats} repeats, inverted along the curve"
    return Estimate(value, low, high, "labels", repeats, method, level=level, seeds=repeats)


def _alike(apart: Estimate) -> bool:
    """Whether a difference is not told from 0. One that is the same throughout is what it is."""
    if apart.low is None or apart.high is None:
        return not apart.value
    return apart.low <= 0 <= apart.high


def _at(size: float, sizes: np.ndarray, curve: np.ndarray) -> Float[np.ndarray, "r n"]:
    k = min(int(np.searchsorted(sizes, size, side="right")) - 1, len(sizes) - 2)
    share = np.log(size / sizes[k]) / np.log(sizes[k + 1] / sizes[k])
    between: Float[np.ndarray, "r n"] = (1 - share) * curve[k] + share * curve[k + 1]
    return between


def _ends(
    grid: np.ndarray, within: Sequence[bool], alike: Callable[[float], bool]
) -> tuple[float | None, float | None]:
    """The outermost sizes that are not ruled out; None where that is the first or the last one tried."""
    if not any(within):
        return None, None
    first, last = np.flatnonzero(within)[[0, -1]]
    ends: list[float | None] = []
    for inside, outside in ((first, first - 1), (last, last + 1)):
        if not 0 <= outside < len(grid):
            ends.append(None)
            continue
        kept, out = float(grid[inside]), float(grid[outside])
        for _ in range(_HALVINGS):
            middle = float(np.sqrt(kept * out))
            kept, out = (middle, out) if alike(middle) else (kept, middle)
        ends.append(out)  # just beyond it
    return ends[0], ends[1]


def _crossing(grid: np.ndarray, means: np.ndarray) -> float | None:
    """Where the mean first goes from above 0 to 0 or below it; None where it doesn't."""
    if means[0] == 0:
        return float(grid[0])
    at = np.flatnonzero((means[:-1] > 0) & (means[1:] <= 0))
    if not len(at):
        return None
    i = int(at[0])
    share = means[i] / (means[i] - means[i + 1])
    return float(np.exp(np.log(grid[i]) + share * np.log(grid[i + 1] / grid[i])))
