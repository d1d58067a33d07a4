"""A hand-made answer to `Redundancy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.redundant_channels import ARMS, RedundancyData
from uncork.testing.artifacts import a_pass


def a_redundancy(
    n: int = 2000,
    *,
    dense: float = 0.1,
    pruned: float = 0.1,
    random: float = 0.15,
    scratch: float = 0.12,
    faster: float = 1.5,
    churn: float = 0.01,
    seeds: int = 3,
    seed: int = 0,
    **changes: Any,
) -> RedundancyData:
    """Nets that are wrong on these shares of n rows, half of the channels pruned: twice as few parameters.

    Which rows a net gets wrong is the same for all where the shares are the same, but for a share `churn` of the rows
    that falls to chance with every net. `changes`: fields of RedundancyData.
    """
    rng = np.random.default_rng(seed)
    right = a_pass(n, error=0.0, seed=seed)
    hard = rng.random(n)

    def outputs(share: float) -> np.ndarray:
        wrong = np.where(rng.random(n) < churn, rng.random(n), hard) < share
        logits = right.logits.astype(np.float32)
        return np.where(wrong[:, None], -logits, logits)

    shares = dict(zip(ARMS, (dense, pruned, random, scratch), strict=True))
    time = np.exp(rng.normal(0, 0.02, (2, 40, 2)))
    time[:, :, 1] /= faster
    known: dict[str, Any] = {
        "ratios": np.array([0.0, 0.25, 0.5, 0.75]),
        "importances": ("magnitude", "taylor"),
        "rehearsed": np.array([[0.0, 0.0, 2.0, 40.0], [0.0, 1.0, 4.0, np.inf]]),
        "rehearsal_rows": 400,
        "within": True,
        "ratio": 0.5,
        "importance": "magnitude",
        "redundant": 3,
        "channels": 64,
        "merged_gap": 1e-6,
        "outputs": np.stack([[outputs(shares[arm]) for _ in range(seeds)] for arm in ARMS]),
        "checkpoint": outputs(dense)[None],
        "task": "classification",
        "rows": np.arange(n),
        "y": right.y,
        "clusters": np.arange(n),
        "parameters": np.array([2000, 1000]),
        "seconds": 1e-3 * time,
        "batch_sizes": (1, 64),
        "steps": 100,
    }
    return RedundancyData(**{**known, **changes})
