"""The recipe by other settings, trained and run on rows in one go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.schema.errors import BadInput, UncorkError
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

#: Factors of the learning rate and of the weight decay, in the order of trying.
FACTORS = ((1.0, 1.0), (3.0, 1.0), (1 / 3, 1.0), (1.0, 10.0))


def by_setting(recipe: Recipe, setting: int) -> Recipe:
    """The recipe with the rate and the decay of one of `FACTORS`."""
    rate, decay = FACTORS[setting]
    return (recipe if decay == 1 else recipe.decayed(decay)).replace(lr=recipe.lr * rate)


def in_words(recipe: Recipe) -> str:
    return f"rate {recipe.lr:.3g}, decay {recipe.weight_decay:.3g}"


def fitted_net(
    recipe: Recipe,
    train: Split,
    fresh: Split,
    steps: int | None,
    task: str,
    seed: int,
    preprocess: Callable[[Any], Any] | None,
) -> tuple[np.ndarray | None, float]:
    """(outputs on `fresh`: logits (n, K) or values (n,), None where training diverged; seconds to fit).

    `steps`: None for as many as the recipe takes.
    """
    start = time.perf_counter()
    try:
        module = fit(recipe, train, seed=seed, steps=steps, preprocess=preprocess).module
    except BadInput:
        raise
    except UncorkError:
        return None, time.perf_counter() - start
    spent = time.perf_counter() - start
    outputs = logits_of(as_model(module, task, preprocess=preprocess), fresh)
    if not np.isfinite(outputs).all():
        return None, spent
    return outputs[:, 0] if task == "regression" else outputs, spent
