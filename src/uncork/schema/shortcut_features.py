"""Which small parts of a row decisions follow, and what the model does where such a part speaks against the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class Shortcuts(Request):
    """Decisions on rows of validation of which one small part was taken from another row, and as much elsewhere.

    `rows`: at most so many are looked at; of the first `swapped` decisions are followed, of all the errors. `draws`:
    rows that a part is taken from, for each row.
    """

    rows: int = 4000
    swapped: int = 400
    draws: int = 2
    kind: ClassVar[str] = "shortcuts"

    def label(self) -> str:
        return "parts of rows swapped"


@dataclass(frozen=True, eq=False)
class ShortcutsData:
    """Answer to `Shortcuts`: c parts, m rows of validation in a random order.

    names (c): the parts. suspect (c): whether it is odd that such a part alone decides; False of columns of a table,
    any of which may decide rightly. rows, clusters, y, predicted (m,): position in validation, group, class index and
    decision. moved, moved_beside (c, s): of the first s rows, share of draws in which the decision becomes the class of
    the row that the part was taken from, a class that was not decided; and the same with as much taken elsewhere.
    mended, mended_beside (c, m): of rows decided wrong, share of draws in which they are right with the part of another
    row of their own class; and with as much elsewhere; 0 of rows decided right.
    says (c, m): the class of most of the 15 rows of train with the most similar part; −1 where fewer than half agree or
    there is no train. columns (m, d), column_names (d): standardised columns of a table; none of other rows.
    """

    names: tuple[str, ...]
    suspect: tuple[bool, ...]
    rows: Int[np.ndarray, " m"]
    clusters: Int[np.ndarray, " m"]
    y: Int[np.ndarray, " m"]
    predicted: Int[np.ndarray, " m"]
    moved: Float[np.ndarray, "c s"]
    moved_beside: Float[np.ndarray, "c s"]
    mended: Float[np.ndarray, "c m"]
    mended_beside: Float[np.ndarray, "c m"]
    says: Int[np.ndarray, "c m"]
    columns: Float[np.ndarray, "m d"]
    column_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def wrong(self) -> Shaped[np.ndarray, " m"]:
        """(m,) whether each row is decided wrong."""
        return np.asarray(self.predicted != self.y)
