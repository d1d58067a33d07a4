"""A hand-made answer to `TrainingStep`."""

from __future__ import annotations

import numpy as np

from uncork.schema.training_step import HELD, LOADED, TrainingStepData


def training_step(
    *, stall: float = 0.0, batch: float = 1.0, utilisation: float = 0.8, noise: float = 0.02, seed: int = 0
) -> TrainingStepData:
    """Steps of 10 ms on 32 rows, and reading that makes up the share `stall` of them beside.

    `batch`: rows a second with 64 rows over those with 32.
    """
    rng = np.random.default_rng(seed)
    rows = np.array([32, 32, 32, 64])
    typical = 0.01 * np.array([1 / (1 - stall), 1.0, 1.1, 2 / batch, 1.0])
    seconds = typical * np.exp(rng.normal(0, noise, (40, 5)))
    parts = ("reading rows", "forward: 0", "forward: rest", "backward", "optimiser")
    shares = np.array([stall / (1 - stall), 0.3, 0.05, 0.55, 0.1])
    return TrainingStepData(
        ways=(LOADED, HELD, "bfloat16", "batch of 64"),
        rows=rows,
        seconds=seconds[:, :-1],
        missing={"batch of 128": "out of memory"},
        peak_seconds=seconds[:, -1],
        peak_flops=10**9,
        flops=round(utilisation * 10**9),
        padding=np.zeros(0),
        parts=parts,
        part_seconds=0.01 * shares * np.exp(rng.normal(0, noise, (10, len(parts)))),
        part_flops=np.array([0, round(utilisation * 10**9 / 3), 0, 0, 0]),
        precision="float32",
        batch_size=32,
        device="cpu",
        threads=1,
    )
