"""A hand-made answer to `Deployment`."""

from __future__ import annotations

import numpy as np

from uncork.schema.deployment import BATCHES, DeploymentData


def deployment(
    *, faster: float = 3.0, flips: int = 0, ms: float = 2.0, runs: int = 400, noise: float = 0.1, seed: int = 0
) -> DeploymentData:
    """torch, and onnxruntime that is `faster` one row at a time.

    A row takes `ms` by torch on one thread, and half of it on two; each row more in a batch a fifth of that.
    """
    rng = np.random.default_rng(seed)
    mean = ms / 1000 / np.array([[1.0, 2.0], [faster, 2 * faster]])
    sizes = np.array(BATCHES, np.int64)
    batch = mean[:, :, None, None] * (1 + 0.2 * (sizes - 1))[:, None]
    return DeploymentData(
        engines=("torch", "onnxruntime"),
        missing={"torch.compile": "there is no compiler"},
        threads=(1, 2),
        single=mean[:, :, None] * np.exp(noise * rng.normal(size=(2, 2, runs))),
        sizes=sizes,
        batch=batch * np.exp(noise * rng.normal(size=(2, 2, len(sizes), 10))),
        rows=1000,
        flips=np.array([0, flips], np.int64),
        gap=np.array([0.0, 1e-6]),
        bytes=np.array([4000, 4400], np.int64),
        memory=np.array([3e6, 2e6]),
        no_memory="",
        device="cpu",
    )
