"""A pool that the user brought: checked against the subject, and put into the form of one that was retrained."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.out_of_fold import read_folds
from uncork.data.split import Split
from uncork.gather._contract import Context
from uncork.gather._tree import together
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned, columns_of
from uncork.models.base import Model, from_probabilities
from uncork.models.predictions import as_predictions
from uncork.schema.errors import BadInput
from uncork.schema.given_pool import GivenPool, check_folds, check_rows
from uncork.schema.pool import FOLD, QUESTIONS, SIZES, PoolData

MOST_BYTES = 4e9
FEWEST = 3  # checkpoints, from which the spread between trainings is told
WAY_OUT = "it takes a recipe (Subject(recipe=...)) and pool='auto'"


def settled(given: GivenPool, context: Context) -> GivenPool:
    """`given` as it is used: predictions in the order of train's rows, with K columns; models as `Model`s.

    Raises BadInput where it doesn't fit the subject.
    """
    train = context.subject.train
    if train is None:
        raise BadInput("a pool is of models trained on train, and no train split was given: give Subject(train=...)")
    if given.models:
        return dataclasses.replace(given, models=_models(given.models, context))
    if given.table is not None:
        given = read_folds(given.table, context.facts.task, context.facts.classes)
    order = _order(given, train)
    place = "the probabilities" if context.facts.task == "classification" else "the predictions"
    predictions = tuple(_columns(p[order], context, place) for p in given.predictions)
    folds = tuple(np.unique(f[order], return_inverse=True)[1].astype(np.int64) for f in given.folds)
    for own in folds:
        check_folds(own, "folds")
    size = 2 * sum(int(own.max()) + 1 for own in folds) * predictions[0].size
    if size > MOST_BYTES:
        raise BadInput(f"the predictions would take {size / 1e9:.0f} GB: bring fewer repeats or folds")
    return GivenPool(predictions, folds)


def fingerprint(given: GivenPool) -> str:
    """Of what `settled` returned: two that differ give different findings."""
    if given.models:
        return "checkpoints " + " ".join(model.fingerprint() for model in given.models)
    content = hashlib.blake2b(digest_size=16)
    for values, folds in zip(given.predictions, given.folds, strict=True):
        content.update(np.ascontiguousarray(values).tobytes())
        content.update(np.ascontiguousarray(folds).tobytes())
    return f"predictions {content.hexdigest()}"


def price_given(given: GivenPool, context: Context) -> float:
    """Seconds of one forward pass of each model."""
    if not given.models:
        return 0.0
    return (
        len(given.models) * (len(context.split("train")) + len(context.split("validation"))) * context.seconds_per_row
    )


def gather_given(given: GivenPool, context: Context) -> PoolData:
    """What `settled` returned, as a pool; `left_out` says what it can't answer, and what that takes."""
    return _of_models(given.models, context) if given.models else _of_folds(given, context)


def _order(given: GivenPool, train: Split) -> np.ndarray:
    """Positions in what was given of each row of train."""
    n = len(given.folds[0])
    if given.ids is None:
        if n != len(train):
            raise BadInput(
                f"the predictions have {n} rows, but train has {len(train)}: give one for each row of train, in its "
                "order, or say which is which with ids"
            )
        return np.arange(n)
    names, at = np.unique(given.ids, return_index=True)
    if len(names) < n:
        twice = str(given.ids[np.setdiff1d(np.arange(n), at)[0]])
        raise BadInput(f"the predictions hold the id {twice!r} twice: give one for each row (and a repeat each)")
    known = train.ids.astype(str)
    strangers = names[~np.isin(names, known)]
    if len(strangers):
        raise BadInput(
            f"the predictions hold {str(strangers[0])!r}, which is no id of train: ids look like {str(known[0])!r} "
            "(positions from 0 where the split has no ids of its own)"
        )
    missing = known[~np.isin(known, names)]
    if len(missing):
        raise BadInput(f"the predictions lack {str(missing[0])!r}: give one for each of the {len(train)} rows of train")
    found: np.ndarray = at[np.searchsorted(names, known)]
    return found


def _columns(values: np.ndarray, context: Context, place: str) -> np.ndarray:
    """(n, K), or (n, 1) in a regression."""
    classes = context.facts.classes
    if context.facts.task == "classification" and values.shape[1] == 1 and len(classes) != 2:
        raise BadInput(f"{place} have one column, but there are {len(classes)} classes: give (rows, {len(classes)})")
    made = as_predictions(values, context.facts.task)
    if context.facts.task == "classification" and made.shape[1] != len(classes):
        raise BadInput(
            f"{place} have {made.shape[1]} columns, but there are {len(classes)} classes ({', '.join(classes[:6])}"
            f"{', …' if len(classes) > 6 else ''}): give one column for each, in this order"
        )
    check_rows(made, place)
    return made


def _models(models: Sequence[Any], context: Context) -> tuple[Model, ...]:
    """Each tried on a row of train, with one output for each class."""
    subject, classes = context.subject, context.facts.classes
    if not context.facts.has_inputs:
        raise BadInput("checkpoints take rows to run on, and the splits hold predictions: give a Subject with rows")
    found: list[Model] = []
    prints: dict[str, int] = {}
    for i, given in enumerate(models):
        try:
            model = as_model(_loaded(given, context), context.facts.task, preprocess=subject.preprocess)
            model.outputs(subject.train.take(np.arange(1)))
        except BadInput as error:
            raise BadInput(f"checkpoint {i}: {error}") from error
        if model.task != context.facts.task:
            raise BadInput(f"checkpoint {i} does {model.task}, but the subject {context.facts.task}")
        if context.facts.task == "classification" and columns_of(model, classes) is None:
            raise BadInput(
                f"checkpoint {i} has {model.n_outputs} outputs, but there are {len(classes)} classes: give models "
                "with an output for each"
            )
        model = aligned(model, classes) if context.facts.task == "classification" else model
        same = prints.setdefault(model.fingerprint(), i)
        if same != i:
            raise BadInput(
                f"checkpoints {same} and {i} have the same weights: give models that were trained from other seeds"
            )
        found.append(model)
    return tuple(found)


def _loaded(given: Any, context: Context) -> Any:
    if not isinstance(given, str | PathLike):
        return given
    make = getattr(context.subject.recipe, "make", None)
    if make is None:
        raise BadInput(
            f"{str(given)!r} is a path: give recipe=Recipe(build, ...) so that the weights have a module to go into, "
            "or load them yourself with uncork.load_weights(module, path)"
        )
    from uncork.models.weights import load_weights

    return load_weights(make(), Path(given))


def _of_folds(given: GivenPool, context: Context) -> PoolData:
    train = context.split("train")
    design = [(r, part) for r, folds in enumerate(given.folds) for part in range(int(folds.max()) + 1)]
    kind = np.float16 if context.facts.task == "classification" else np.float32
    k = given.predictions[0].shape[1]
    on_train = np.zeros((len(design), len(train), k), kind)
    seen = np.ones((len(design), len(train)), bool)
    for i, (r, part) in enumerate(design):
        own, values = given.folds[r] == part, given.predictions[r]
        seen[i, own] = False
        on_train[i, own] = from_probabilities(values[own]) if context.facts.task == "classification" else values[own]
    left_out = dict.fromkeys(_names(), f"only predictions were brought: {WAY_OUT}")
    nothing = np.zeros(0, np.float64 if context.facts.task == "regression" else np.int64)
    return _pool(
        context,
        size=np.full(len(design), FOLD),
        permutation=np.array([r for r, _ in design]),
        part=np.array([part for _, part in design]),
        included=np.packbits(seen, axis=1),
        on_train=on_train,
        on_validation=np.zeros((len(design), 0, k), kind),
        validation_y=nothing,
        validation_clusters=np.zeros(0, np.int64),
        left_out=left_out,
    )


def _of_models(models: Sequence[Model], context: Context) -> PoolData:
    train, validation, m = context.split("train"), context.split("validation"), len(models)
    sides = [[_outputs(model, split, i, context) for i, model in enumerate(models)] for split in (train, validation)]
    left_out = dict.fromkeys(_names(), f"only checkpoints were brought: {WAY_OUT}")
    left_out["full"] = f"only {m} checkpoints were brought: bring {FEWEST} or more, or {WAY_OUT}"
    if m >= FEWEST:
        del left_out["full"]
    groups = validation.groups
    return _pool(
        context,
        size=np.ones(m, np.int64),
        permutation=np.arange(m),
        part=np.zeros(m, np.int64),
        included=np.packbits(np.ones((m, len(train)), bool), axis=1),
        on_train=np.stack(sides[0]),
        on_validation=np.stack(sides[1]),
        validation_y=validation.y,
        validation_clusters=np.arange(len(validation)) if groups is None else np.unique(groups, return_inverse=True)[1],
        left_out=left_out,
    )


def _outputs(model: Model, split: Split, i: int, context: Context) -> np.ndarray:
    passed = forward(model, split, batch_size=context.batch_size, name=f"checkpoint {i}")
    return passed.logits if passed.task == "classification" else passed.predicted[:, None].astype(np.float32)


def _names() -> list[str]:
    """Everything that `left_out` may name, but for the whole."""
    return [*(name for name, _ in SIZES), *QUESTIONS, *(arm for arms in QUESTIONS.values() for arm in arms)]


def _pool(context: Context, **known: Any) -> PoolData:
    train, m = context.split("train"), len(known["size"])
    assert train.y is not None
    return PoolData(
        task=context.facts.task,
        arm=("",) * m,
        steps=np.zeros(m, np.int64),
        seconds=np.zeros(m),
        y=train.y,
        clusters=together(train) if context.facts.has_inputs else _groups(train),
        flagged=np.zeros(len(train), bool),
        matched=False,
        parameters={},
        brought=True,
        **known,
    )


def _groups(train: Split) -> np.ndarray:
    """Equal predictions are no copies of a row."""
    return np.arange(len(train)) if train.groups is None else np.unique(train.groups, return_inverse=True)[1]
