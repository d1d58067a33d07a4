"""Artifacts of patched mistakes made by hand, for probes' examples and tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.patches import PatchesData


def patches(
    m: int = 100,
    n: int = 2000,
    *,
    stubborn: float = 0.0,
    unpatched: float = 0.8,
    broken: int = 0,
    repaired: int = 0,
    rate: float = 0.1,
    seed: int = 0,
    **changes: Any,
) -> PatchesData:
    """m corrections of a model that errs on a share `rate`, four near copies each: a copy is wrong with chance
    `unpatched`, and `stubborn` when patched. Of n other rows `broken` and `repaired` change. `changes`: fields.
    """
    rng = np.random.default_rng((seed, 17))
    counts = np.array([count for count in (1, 3, 10, 30) if count < m] + [m], np.int64)
    y = np.zeros(n, np.int64)
    before = (np.arange(n) < rate * n).astype(np.int64)
    after = before.copy()
    after[:repaired], after[n - broken :] = 0, 1
    near_before = rng.random((m, 4)) >= unpatched
    near = np.repeat((rng.random((m, 4)) >= stubborn)[None], len(counts), axis=0)
    patched = np.arange(m) < counts[:, None]
    known: dict[str, Any] = {
        "counts": counts,
        "mends": patched,
        "counted": np.ones((m, 4), bool),
        "near_before": near_before,
        "near": np.where(patched[:, :, None], near, near_before),
        "y": y,
        "before": before,
        "after": np.repeat(after[None], len(counts), axis=0),
        "clusters": np.arange(n),
        "looked_at": n + np.arange(round(m / rate)),
        "inseparable": 0,
        "space": "features",
    }
    return PatchesData(**{**known, **changes})
