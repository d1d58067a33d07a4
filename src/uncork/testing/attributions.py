"""Attributions made by hand, for probes' examples and tests: no model."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.attribution import AttributionData

_SHARES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.6])


def an_attribution(
    n: int = 48,
    *,
    advantage: float | tuple[float, ...] = 0.3,
    similarity: float | tuple[float, ...] = 0.0,
    spread: float = 0.1,
    methods: tuple[str, ...] = ("integrated_gradients", "occlusion"),
    grid: tuple[int, ...] = (8, 8),
    groups: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> AttributionData:
    """Each method's rank lowers the probability by its `advantage` more than random ranks on average, by a normal
    amount of s.d. `spread` on each row; a random rank by as much, around 0. `groups`: rows fall into so many clusters.
    `changes`: fields of AttributionData.
    """
    rng = np.random.default_rng((seed, 17))
    m, u, s = len(methods), int(np.prod(grid)), len(_SHARES)
    fall = np.broadcast_to(advantage, (m,))[:, None] + spread * rng.normal(size=(m, n))
    chance = spread * rng.normal(size=(9, n))
    alike = np.broadcast_to(similarity, (m,))[:, None, None] + 0.05 * rng.normal(size=(m, 5, 8))
    known: dict[str, Any] = {
        "methods": methods,
        "left_out": {},
        "baseline": "mean of train",
        "grid": grid,
        "rows": np.arange(n),
        "clusters": np.arange(n) if groups is None else rng.integers(groups, size=n),
        "decided": np.arange(n) % 2,
        "right": np.arange(n) % 10 > 0,
        "maps": rng.normal(size=(m, n, u)).clip(-1, 1).astype(np.float16),
        "shares": _SHARES,
        "kept": np.full(n, 0.95),
        "by_method": np.repeat((0.6 - fall)[:, :, None], s, axis=2),
        "by_chance": np.repeat((0.6 - chance)[:, :, None], s, axis=2),
        "by_edges": np.full((n if len(grid) == 2 else 0, s), 0.6),
        "gap": np.abs(0.01 * rng.normal(size=n)),
        "change": np.ones(n),
        "similarity": alike,
    }
    return AttributionData(**{**known, **changes})
