"""Simulated labelling made by hand, for the probe's example and tests: no model, no training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uncork.schema.label_cost import LabelCostData
from uncork.testing.artifacts import a_pass

STRATEGIES = ("margin", "typical", "badge")


def a_label_cost(
    n: int = 1000,
    *,
    v: int = 1000,
    random: tuple[float, ...] = (0.4, 0.3, 0.2),
    chosen: Mapping[str, float] | None = None,
    repeats: int = 5,
    spread: float = 0.01,
    seed: int = 0,
) -> LabelCostData:
    """n rows of train, v of validation. random: error of models of 15, 30 and 60 % of train; chosen: of 30 % by
    strategy, that of as many random ones where it isn't named. Each model's error strays by `spread` (s.d.)."""
    rng = np.random.default_rng((seed, 17))

    def models(error: float) -> np.ndarray:
        each = np.clip(error + rng.normal(0, spread, repeats), 0, 1)
        return np.stack([a_pass(v, error=e, classes=3, seed=int(rng.integers(2**31))).logits for e in each])

    errors = {**dict.fromkeys(STRATEGIES, random[1]), **(chosen or {})}
    passed = a_pass(v, error=0.1, classes=3)
    return LabelCostData(
        strategies=STRATEGIES,
        sizes=np.array([round(0.15 * n), round(0.3 * n), round(0.6 * n)][: len(random)]),
        curve=np.stack([models(error) for error in random]).astype(np.float32),
        chosen=np.stack([models(errors[name]) for name in STRATEGIES]).astype(np.float32),
        y=passed.y,
        clusters=passed.clusters,
        available=n,
        by="the recipe",
    )
