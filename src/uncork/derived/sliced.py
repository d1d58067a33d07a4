"""What is said of slices: those found on half of validation, and how many planted ones would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.order import random_half
from uncork.derived.slices import Slice, clusters_of_classes, planted_found, principal_components, slices
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Detail, Estimate
from uncork.schema.shortcut_features import ShortcutsData

if TYPE_CHECKING:
    from jaxtyping import Float

SHOWN = 3  # columns by which a slice is told, and its rows
_LARGEST = 6e4


@dataclass(frozen=True)
class Sliced:
    """Estimates by name, and the table of slices, where any was found."""

    estimates: dict[str, Estimate]
    details: tuple[Detail, ...]


def in_slices(data: ShortcutsData, passed: PassData, classes: Sequence[str], rng: np.random.Generator) -> Sliced | None:
    """None where rows have neither features nor columns to lie together in. `passed`: in the order of its rows."""
    columns: Float[np.ndarray, "n d"] = passed.features
    if not passed.features.shape[1]:
        order = np.argsort(data.rows, kind="stable")
        passed, columns = passed.take(np.isin(passed.rows, data.rows)), data.columns[order]
    if not columns.shape[1] or len(columns) != len(passed):
        return None
    points = principal_components(np.clip(columns, -_LARGEST, _LARGEST))
    finds, wrong = random_half(passed, rng), passed.predicted != passed.y
    cluster = clusters_of_classes(points, passed.y, int(rng.integers(2**31 - 1)))
    found = slices(cluster, wrong, passed.y, finds, passed.clusters)
    planted = planted_found(points, cluster, wrong, passed.y, finds, passed.clusters, rng)
    estimates = {"planted_slices_found": planted}
    if not found:
        return Sliced(estimates, ())
    worst = max(found, key=lambda s: -np.inf if s.excess.low is None else s.excess.low)
    estimates |= {"slice_excess": worst.excess, "slice_error": worst.error}
    names = data.column_names if columns is not passed.features else ()
    rows = [_row(s, passed, columns, names, classes) for s in found]
    told = ["class", "where", "rows tested", "wrong, %", "errors per 1,000 beyond the class's", "from", "to"]
    table = Detail("table", "Slices that err more than the rest of their class", {"columns": told, "rows": rows})
    return Sliced(estimates, (table,))


def _row(
    found: Slice, passed: PassData, columns: np.ndarray, names: tuple[str, ...], classes: Sequence[str]
) -> list[str | int | float | None]:
    """`where`: columns whose mean is furthest from the class's, in standard deviations; of features some rows."""
    where = "rows " + ", ".join(str(row) for row in passed.rows[found.held][:SHOWN]) + ", …"
    if names:
        apart = columns[found.held].mean(axis=0) - columns[passed.y == found.label].mean(axis=0)
        where = ", ".join(f"{names[c]} {apart[c]:+.1f} s.d." for c in np.argsort(-np.abs(apart))[:SHOWN])
    ends = (found.excess.value, found.excess.low, found.excess.high)
    wrong = None if found.error.value is None else round(100 * found.error.value, 1)
    shown = [None if end is None else round(end, 1) for end in ends]
    return [classes[found.label], where, found.error.n, wrong, *shown]
