"""A hand-made answer to `IdleParts`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uncork.schema.idle_parts import IdlePartsData


def idle_parts(
    blocks: Mapping[str, float] | None = None,
    arms: Mapping[str, float] | None = None,
    *,
    n: int = 2000,
    error: float = 0.1,
    churn: float = 0.002,
    seeds: int = 3,
    seed: int = 0,
) -> IdlePartsData:
    """A two-class model of this error. `blocks`, `arms`: the error added without each.

    Without a block that adds nothing the outputs are what they were. Every training is wrong on the same rows, but for
    the share `churn` of its own.
    """
    rng = np.random.default_rng(seed)
    blocks, arms = {"1": 0.0, "2": 0.05} if blocks is None else blocks, arms or {}
    y, hard = np.arange(n) % 2, rng.random(n)

    def outputs(rate: float, churn: float) -> np.ndarray:
        wrong = (hard < rate) ^ (rng.random(n) < churn)
        return np.where((y ^ wrong)[:, None] == np.arange(2), 2.0, -2.0).astype(np.float32)

    rates = [error, *(error + more for more in blocks.values())]
    trained = [error, *(error + more for more in arms.values())]
    share = np.array([1.0, *[0.8] * len(blocks)])
    return IdlePartsData(
        task="classification",
        blocks=tuple(blocks),
        outputs=np.stack([outputs(rate, 0.0) for rate in rates]),
        parameters=np.array([100 * (1 + len(blocks)), *[100] * len(blocks)]),
        seconds=0.01 * share * np.exp(rng.normal(0, 0.02, (40, len(share)))),
        arms=tuple(arms),
        retrained=np.array([[outputs(rate, churn) for _ in range(seeds if arms else 0)] for rate in trained]).reshape(
            len(trained), -1, n, 2
        ),
        left_out={} if arms else {"arms": "nothing is trained without a part"},
        y=y,
        clusters=np.arange(n),
    )
