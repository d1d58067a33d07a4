"""Answers to other views of rows, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncork.schema.missing_invariance import InvarianceData


def an_invariance(
    n: int = 1500,
    *,
    error: float = 0.1,
    averaged: Mapping[str, float] | None = None,
    lost: float = 0.02,
    grounds: str = "safe",
    classes: int = 4,
    groups: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> InvarianceData:
    """A classifier with `error`, and by the mean over each way's views that error. A row has a hardness that all share,
    but for one in fifty rows. Of changed views a share `lost` more are wrong. `changes`: fields of InvarianceData.
    """
    rng = np.random.default_rng((seed, 31))
    asked = {"shifted": error, "mirrored": error + 0.1} if averaged is None else dict(averaged)
    y, hard = rng.integers(classes, size=n), rng.random(n)

    def logits(share: float) -> np.ndarray:
        own = np.where(rng.random(n) < 0.02, rng.random(n), hard)
        decided = np.where(own < share, (y + 1) % classes, y)
        made = 0.1 * rng.random((n, classes)).astype(np.float32)
        made[np.arange(n), decided] += 2
        return made

    given = logits(error)
    wrong = given.argmax(axis=1) != y
    known: dict[str, Any] = {
        "names": tuple(asked),
        "grounds": (grounds,) * len(asked),
        "rows": np.arange(n),
        "clusters": np.arange(n) if groups is None else rng.integers(groups, size=n),
        "y": y,
        "given": given,
        "averaged": np.stack([logits(share) for share in asked.values()]),
        "lost": np.maximum(wrong, rng.random((len(asked), n)) < lost).astype(np.float32),
    }
    return InvarianceData(**{**known, **changes})
