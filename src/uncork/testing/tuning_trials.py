"""A hand-made answer to `TuningTrials`."""

from __future__ import annotations

import numpy as np

from uncork.schema.tuning_trials import TuningTrialsData


def tuning_trials(
    *, gain: float = 0.05, trials: int = 24, error: float = 0.2, n: int = 2000, seeds: int = 3, seed: int = 0
) -> TuningTrialsData:
    """Trials whose errors per 1,000 rise with the distance of the logarithm of the rate from its best; decay is inert.

    The best of them is wrong on `gain` fewer of the rows of validation than the recipe as it is.
    """
    rng = np.random.default_rng(seed)
    settings = np.exp(rng.uniform(-3, 3, (trials, 2)))
    scores = 1000 * (error - gain + 0.02 * np.abs(np.log(settings[:, 0])) ** 2 + rng.normal(0, 0.003, trials))
    y, hard = np.arange(n) % 2, rng.random(n)

    def outputs(rate: float) -> np.ndarray:
        wrong = (hard < rate) ^ (rng.random(n) < 0.01)
        return np.where((y ^ wrong)[:, None] == np.arange(2), 2.0, -2.0).astype(np.float32)

    return TuningTrialsData(
        task="classification",
        names=("learning rate", "weight decay"),
        settings=settings,
        scores=np.clip(scores, 0, 1000),
        own=1000 * error,
        held_rows=n // 4,
        importance=np.array([0.9, 0.05]),
        importance_null=rng.gamma(2.0, 0.05, (99, 2)),
        best=int(scores.argmin()),
        outputs=np.array([[outputs(rate) for _ in range(seeds)] for rate in (error, error - gain)]),
        y=y,
        clusters=np.arange(n),
    )
