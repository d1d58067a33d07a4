"""Whether the parts that a method ranks first are those that the decision hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.attribution import METHODS, AttributionData
from uncork.schema.finding import Detail, Estimate
from uncork.stats.means import mean
from uncork.stats.simultaneous import together

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_UNIT = "probability"
SHOWN = 10


def kept(curves: Float[np.ndarray, "... s"]) -> np.ndarray:
    """Mean probability of the decided class over the shares replaced: small where what mattered was replaced."""
    found: np.ndarray = curves.astype(np.float64).mean(axis=-1)
    return found


def inert(data: AttributionData) -> bool:
    """Whether nothing that was replaced moved any decision's probability."""
    moved = [np.abs(curves - data.kept[:, None]).max() for curves in (*data.by_method, *data.by_chance)]
    return bool(max(moved) < 1e-6)


def over_chance(data: AttributionData, method: int) -> Estimate:
    """How much lower the probability falls than by random ranks (their mean), paired over rows."""
    return _mean(data, kept(data.by_chance).mean(axis=0) - kept(data.by_method[method]))


def over_edges(data: AttributionData, method: int) -> Estimate | None:
    """The same over a rank by edges; None where rows are no pictures."""
    if not len(data.by_edges):
        return None
    return _mean(data, kept(data.by_edges) - kept(data.by_method[method]))


def _mean(data: AttributionData, values: Float[np.ndarray, " n"]) -> Estimate:
    return mean(values, clusters=data.clusters, unit=_UNIT, bounds=(-1.0, 1.0))


def similarity(data: AttributionData, method: int) -> Estimate | None:
    """Rank correlation of maps with those of the model whose last layer was initialised anew; None without a layer.

    Unit: one initialisation, which all its rows share.
    """
    found = data.similarity[method]
    if not found.size:
        return None
    draws = np.repeat(np.arange(len(found)), found.shape[1])
    return mean(found.ravel(), clusters=draws, unit="rank correlation", bounds=(-1.0, 1.0))


def completeness_error(data: AttributionData) -> Estimate | None:
    """By how much integrated gradients add up to something else, in the mean size of the logit's change."""
    size = float(np.abs(data.change).mean()) if len(data.change) else 0.0
    if not size:
        return None
    return mean(data.gap / size, clusters=data.clusters, unit="share of the logit's change")


def largest(estimates: Sequence[Estimate]) -> Estimate:
    """The largest of several figures, with an interval that holds whichever was picked.

    All intervals hold together (`together`), so the largest true figure lies between the largest of their lower ends
    and the largest of their upper ends. Undetermined where one is.
    """
    wide = together(estimates)
    best = max(wide, key=lambda e: -np.inf if e.value is None else e.value)
    lows, highs = [e.low for e in wide], [e.high for e in wide]
    if None in lows or None in highs:
        return replace(best, low=None, high=None, level=0.95)
    low, high = (max(e for e in ends if e is not None) for ends in (lows, highs))
    method = best.method if len(wide) == 1 else f"{best.method}, the largest"
    return Estimate(best.value, max(low, -1.0), min(high, 1.0), best.unit, best.n, method)


def unexplained(data: AttributionData, method: int) -> Bool[np.ndarray, " n"]:
    """Rows whose probability falls no further by the method's rank than by the median of random ones."""
    found: Bool[np.ndarray, " n"] = kept(data.by_method[method]) >= np.median(kept(data.by_chance), axis=0)
    return found


def curves(data: AttributionData) -> Detail:
    """Probability by share replaced: each method, random ranks, edges."""
    named = {METHODS[name]: curve for name, curve in zip(data.methods, data.by_method, strict=True)}
    named |= {"random ranks": data.by_chance.mean(axis=0)} | ({"edges": data.by_edges} if len(data.by_edges) else {})
    rows = [[f"{100 * s:.0f} %", *(float(c[:, i].mean()) for c in named.values())] for i, s in enumerate(data.shares)]
    table = {"columns": ["replaced", *named], "rows": [["0 %", *[float(data.kept.mean())] * len(named)], *rows]}
    note = f"Of the parts ranked first, by the {data.baseline}; means over {len(data)} rows of validation."
    return Detail("table", "Probability of the decided class with parts replaced", table, note)


def where(data: AttributionData, best: int) -> Detail:
    """Which parts a method rates highest on average: a matrix of patches, or the first ten columns."""
    size = np.abs(data.maps[best].astype(np.float64)).mean(axis=0)
    title, note = "Where decisions look", f"Mean size of {METHODS[data.methods[best]]}, each row's largest being 1."
    if len(data.grid) == 2:
        height, width = data.grid
        names = {"rows": [str(i) for i in range(height)], "columns": [str(i) for i in range(width)]}
        return Detail("matrix", title, {**names, "values": size.reshape(data.grid).tolist()}, note)
    first = np.argsort(-size, kind="stable")[:SHOWN]
    return Detail(
        "table", title, {"columns": ["column", "size"], "rows": [[int(i), float(size[i])] for i in first]}, note
    )


def examples(data: AttributionData, without: Bool[np.ndarray, " n"], classes: Sequence[str]) -> Detail:
    """The first ten decisions without an explanation."""
    at = np.flatnonzero(without)[:SHOWN]
    values = [[classes[data.decided[i]], bool(data.right[i]), float(data.kept[i])] for i in at]
    columns = ["decided", "right", "probability"]
    found = {"split": "validation", "rows": [int(data.rows[i]) for i in at], "columns": columns, "values": values}
    return Detail("examples", "Decisions that no method explains", found)
