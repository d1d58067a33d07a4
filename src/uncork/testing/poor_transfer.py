"""Answers of other encoders made by hand, for the probe's example and tests: no model, no training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from uncork.schema.artifacts import PassData
from uncork.schema.poor_transfer import RUNGS, TransferData
from uncork.testing.artifacts import a_pass


def a_transfer(
    n: int = 2000,
    *,
    error: float = 0.1,
    from_scratch: float = 0.2,
    new_head: float = 0.2,
    few: tuple[float, float] = (0.3, 0.5),
    backbones: tuple[str, ...] = ("near", "far"),
    seed: int = 0,
    **changes: Any,
) -> TransferData:
    """A winner wrong on this share of n rows; the recipe's three models, a head on the model's own features, and at
    each rung heads on the winner's features and the recipe (`few`). `changes`: fields of TransferData."""

    def drawn(error: float, *key: int) -> PassData:
        return a_pass(n, error=error, seed=int(np.random.default_rng((seed, *key)).integers(2**31)))

    def outputs(error: float, count: int, key: int) -> np.ndarray:
        return np.stack([drawn(error, key, i).logits for i in range(count)]).astype(np.float32)

    frozen, recipe = (np.stack([outputs(e, 3, 10 * key + q) for q in range(len(RUNGS))]) for key, e in enumerate(few))
    known: dict[str, Any] = {
        "backbones": backbones,
        "screened": (1000 * error, *[1000 * from_scratch] * (len(backbones) - 1)),
        "evidence": (),
        "tuned": math.nan,
        "winner": backbones[0],
        "how": "frozen",
        "screen_rows": 200,
        "fitted_rows": 1000,
        "task": "classification",
        "rows": np.arange(n),
        "y": drawn(error).y,
        "clusters": np.arange(n),
        "made": outputs(error, 1, 1),
        "own": outputs(new_head, 1, 2),
        "members": outputs(from_scratch, 3, 3),
        "rungs": RUNGS,
        "few_frozen": frozen,
        "few_recipe": recipe,
        "left_out": {"fine-tuned": "only a torch module can be trained on"},
    }
    return TransferData(**{**known, **changes})
