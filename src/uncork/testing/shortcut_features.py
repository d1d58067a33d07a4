"""Swapped parts made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncork.schema.shortcut_features import ShortcutsData


def shortcuts(
    m: int = 2000,
    *,
    parts: Mapping[str, float] | None = None,
    conflicts: float = 0.05,
    lost: float = 0.5,
    error: float = 0.02,
    classes: int = 5,
    suspect: bool = True,
    groups: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> ShortcutsData:
    """`parts`: of each how often decisions follow it; it speaks against the label in a share `conflicts` of the rows.

    A row is wrong by chance in `error` of cases; where the first part disagrees, `lost` of the rows are wrong by it,
    and right once it agrees. Of other errors one in ten is mended by any part, and by as much elsewhere. `groups`: rows
    fall into so many clusters. `changes`: fields of ShortcutsData.
    """
    rng = np.random.default_rng((seed, 29))
    follow = {"colour": 0.3, "border": 0.0} if parts is None else dict(parts)
    c, y = len(follow), rng.integers(classes, size=m)
    against = rng.random((c, m)) < conflicts
    says = np.where(against, (y + 1 + rng.integers(classes - 1, size=(c, m))) % classes, y)
    by_part, by_chance = against[0] & (rng.random(m) < lost), rng.random(m) < error
    predicted = np.where(by_chance, (y + 1 + rng.integers(classes - 1, size=m)) % classes, y)
    predicted = np.where(by_part, says[0], predicted)
    wrong, size = predicted != y, min(500, m)
    mended, beside = ((rng.random((c, m)) < 0.1) & wrong for _ in range(2))
    mended[0] |= by_part
    known: dict[str, Any] = {
        "names": tuple(follow),
        "suspect": (suspect,) * c,
        "rows": np.arange(m),
        "clusters": np.arange(m) if groups is None else rng.integers(groups, size=m),
        "y": y,
        "predicted": predicted,
        "moved": (rng.random((c, size)) < np.array(list(follow.values()))[:, None]).astype(np.float32),
        "moved_beside": (rng.random((c, size)) < 0.01).astype(np.float32),
        "mended": mended.astype(np.float32),
        "mended_beside": beside.astype(np.float32),
        "says": says,
        "columns": np.zeros((m, 0), np.float32),
        "column_names": (),
    }
    return ShortcutsData(**{**known, **changes})
