"""What unlabelled rows teach, made by hand, for the probe's example and tests: no model, no training."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.unused_unlabelled import METHODS, UnlabelledData
from uncork.testing.artifacts import a_pass


def an_unlabelled(
    v: int = 2000,
    *,
    labels: int = 400,
    recipe: tuple[float, float, float] = (0.4, 0.3, 0.2),
    half: float = 0.3,
    whole: float = 0.2,
    spread: float = 0.005,
    seed: int = 0,
    **changes: Any,
) -> UnlabelledData:
    """v rows of validation. recipe: its models' error on a quarter, a half and all of so many labels; half, whole: of a
    method's on a half and on all. Each of four models' error strays by `spread`. `changes`: of UnlabelledData."""
    rng = np.random.default_rng((seed, 19))

    def models(error: float) -> np.ndarray:
        each = np.clip(error + rng.normal(0, spread, 4), 0, 1)
        return np.stack([a_pass(v, error=e, classes=3, seed=int(rng.integers(2**31))).logits for e in each])

    passed = a_pass(v, error=0.1, classes=3)
    known: dict[str, Any] = {
        "methods": METHODS,
        "screened": (1000 * whole, 1000 * recipe[2] + 10, 1000 * recipe[2]),
        "screen_rows": labels // 5,
        "winner": METHODS[0],
        "task": "classification",
        "sizes": np.array([labels // 4, labels // 2, labels]),
        "curve": np.stack([models(error) for error in recipe]).astype(np.float32),
        "with_half": models(half).astype(np.float32),
        "with_all": models(whole).astype(np.float32),
        "y": passed.y,
        "clusters": passed.clusters,
        "unlabelled": 5000,
        "left_out": {},
    }
    return UnlabelledData(**{**known, **changes})
