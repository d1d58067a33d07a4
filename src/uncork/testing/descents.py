"""A hand-made answer to `Descents`."""

from __future__ import annotations

import numpy as np

from uncork.schema.descents import SHARES, DescentsData


def descents(*, faster: float = 2.0, seeds: int = 5, noise: float = 0.01, seed: int = 0) -> DescentsData:
    """An own optimiser, sgd, and one other that needs 1 / `faster` of its time; losses fall by the log of time."""
    rng = np.random.default_rng(seed)
    time = np.log2(SHARES)
    curves = np.stack([1 - 0.1 * time, 1 - 0.1 * (time + np.log2(faster))])
    return DescentsData(
        names=("sgd", "muon"),
        rates=np.array([[0.03, 0.1, 0.3], [3e-4, 1e-3, 3e-3]]),
        screened=np.array([[1.2, 1.0, 1.1], [1.3, 1.1, 1.0]]),
        behind=np.array([[0.05, 0.0, 0.2], [0.05, 0.05, 0.0]]),
        chosen=np.array([1, 2]),
        missing={"soap": "training with SOAP needs an extra: pip install 'uncork[optim]'"},
        step_seconds=np.array([np.full(15, 1e-3), np.full(15, 2e-3)]),
        steps=np.array([100, 50]),
        finalists=np.array([0, 1]),
        loss=curves[:, None] + rng.normal(0, noise, (2, seeds, len(SHARES))),
        sharpness=np.array([30.0, 34.0, 28.0]),
        residual=np.full(3, 0.01),
        trace=np.array([90.0, 80.0, 85.0]),
        batch_rows=512,
        parameters=1000,
        lr=0.1,
    )
