"""What more than one benchmark's tests are made of."""

from __future__ import annotations

import numpy as np


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three classes in the plane, well apart: about 2 % of rows can't be told."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1400)
    angle = 2 * np.pi * y / 3
    x = 2.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(1400, 2))
    return x.astype(np.float32), y
