"""Which hyperparameters decide whether a trial is among the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.errors import MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Float

TOP = 0.25


def ped_anova(
    names: Sequence[str], settings: Float[np.ndarray, "k h"], scores: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " h"]:
    """Importance of each hyperparameter for reaching the best quarter of the scores, lower ones better.

    Pearson's divergence between its distribution in that quarter and in all trials, by Optuna; settings above 0, on a
    logarithmic scale. Infinite scores count as the worst. Source: Watanabe, Bansal & Hutter, PED-ANOVA, IJCAI 2023.
    Raises MissingExtra where Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtra("tune", "telling which hyperparameters matter") from None
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(loudness)
    finite = scores[np.isfinite(scores)]
    worst = float(finite.max()) + 1.0 if len(finite) else 0.0
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(float(low), float(high), log=True)
        for name, low, high in zip(names, settings.min(axis=0), settings.max(axis=0), strict=True)
        if low < high
    }
    for row, score in zip(settings.tolist(), scores.tolist(), strict=True):
        given = {name: value for name, value in zip(names, row, strict=True) if name in ranges}
        value = score if np.isfinite(score) else worst
        study.add_trial(optuna.create_trial(params=given, distributions=ranges, value=value))
    found = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP).evaluate(study)
    return np.array([found.get(name, 0.0) for name in names])
