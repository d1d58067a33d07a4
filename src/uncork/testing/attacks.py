"""What attacks found, made by hand, for the probe's example and tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.attacks import AttackedData


def attacks(
    n: int, *, right: float, fooled: float, seed: int = 0, groups: int | None = None, **changes: Any
) -> AttackedData:
    """Of n rows the model is right on round(right · n), and attacks within 0.1 turn round(fooled · those).

    `groups`: rows fall into so many clusters. `changes`: fields of AttackedData.
    """
    rng = np.random.default_rng((seed, 17))
    order = rng.permutation(n)
    clean = np.zeros(n, bool)
    clean[order[: round(right * n)]] = True
    turned = order[: round(fooled * clean.sum())]
    by = np.full(n, -1, np.int8)
    by[turned] = 0
    distance = np.where(clean, rng.uniform(0.1, 0.3, n), 0.0)
    distance[turned] = rng.uniform(0.01, 0.1, len(turned))
    known: dict[str, Any] = {
        "norm": "linf",
        "eps": 0.1,
        "access": "white-box",
        "rows": np.arange(n),
        "y": rng.integers(2, size=n),
        "clusters": np.arange(n) if groups is None else rng.integers(groups, size=n),
        "clean": clean,
        "by": by,
        "distance": distance.astype(np.float32),
        "attacks": ("APGD-CE", "Square"),
        "tried": (int(clean.sum()), int(clean.sum()) - len(turned)),
        "seconds": (0.5, 0.5),
        "checks": {"flat-margin": [0, 50], "unbounded": [0, 50], "noise": [0, 50]},
        "notes": (),
    }
    return AttackedData(**{**known, **changes})
