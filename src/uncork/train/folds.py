"""Out-of-fold predictions: each row's from a model that has not seen it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import softmax

from uncork.data.carve import folds
from uncork.data.labels import class_indices
from uncork.data.split import Split
from uncork.models.adapt import as_model
from uncork.models.aligned import columns_of
from uncork.models.base import Model
from uncork.schema.errors import BadInput
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe

BATCH_ROWS = 1024


def out_of_fold(
    recipe: Any,
    train: Split,
    *,
    k: int,
    seed: int,
    preprocess: Callable[[Any], Any] | None = None,
    task: str,
    n_classes: int,
) -> np.ndarray:
    """Probabilities (n, K) of every train row from the fold that left it out; predicted values (n, 1) in regression.

    Each fold's model takes as many steps as the recipe does on all of train, so that folds are not undertrained.
    Groups stay together; classes are balanced over folds. String labels are indexed in sorted order. A class that
    is absent from a fold's rows gets probability 0 where the model has no output for it.
    """
    classification = task == "classification"
    if train.y is None:
        raise BadInput("train.y is absent: out-of-fold predictions need labels, give Split(x, y)")
    if classification:
        train = train.with_y(class_indices(train.y, n_outputs=n_classes, place="train.y"))
    fold = folds(train, k, seed, stratify=classification)
    settings = {"steps": recipe.steps(len(train))} if isinstance(recipe, Recipe) else {}
    out = np.zeros((len(train), n_classes), np.float32) if classification else np.zeros((len(train), 1))
    for number in range(k):
        held = np.flatnonzero(fold == number)
        fitted = fit_any(
            recipe,
            train.subset(fold != number),
            integer_seed(seed, "fold", number),
            preprocess=preprocess,
            **settings,
        )
        model = as_model(fitted, task, preprocess=preprocess)
        for rows, batch in train.subset(held).batches(BATCH_ROWS):
            logits = model.outputs(batch).logits
            if classification:
                out[np.ix_(held[rows], _columns(model, n_classes))] = softmax(logits, axis=1)
            else:
                out[held[rows]] = logits
    return out


def _columns(model: Model, n_classes: int) -> np.ndarray:
    """Which class each output stands for; estimators know only the classes of the rows they were fitted on."""
    columns = columns_of(model, [str(i) for i in range(n_classes)])
    if columns is None:
        raise BadInput(
            f"the recipe's model has {model.n_outputs} outputs but train.y has {n_classes} classes: give one for each"
        )
    return columns
