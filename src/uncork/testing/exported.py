"""A hand-made answer to `Exported`."""

from __future__ import annotations

import numpy as np

from uncork.schema.exported import ExportedData


def exported(
    n: int = 2000, *, flips: float = 0.0, moved: float = 0.0, int8_flips: float = 0.01, int8: bool = True, seed: int = 0
) -> ExportedData:
    """Of `n` rows the shares that the file gives another class, and whose logits alone differ; others by rounding."""
    rng = np.random.default_rng(seed)
    decided = rng.integers(0, 10, n)
    drawn = rng.random(n)
    flipped, other = drawn < flips, drawn < flips + moved
    turned = rng.random(n if int8 else 0) < int8_flips
    return ExportedData(
        decided=np.stack([decided, np.where(flipped, (decided + 1) % 10, decided)], axis=1),
        gap=np.where(other, 1.0, 1e-6 * rng.random(n)).astype(np.float32),
        spread=2.0,
        decided_int8=np.where(turned, (decided + 1) % 10, decided) if int8 else np.zeros(0, np.int64),
        gap_int8=(0.1 * rng.random(len(turned))).astype(np.float32),
        why_no_int8="" if int8 else "no train was given",
        clusters=np.arange(n),
        sizes=np.array([1, 7, 64]),
        by_size=np.array([2e-7, 1e-7, 1e-7], np.float32),
        few=64,
        again=1.0 if moved else 0.0,
        bytes=40_000,
        bytes_int8=12_000 if int8 else 0,
    )
