"""Is the subject fit to audit? Everything that can be refused is refused here, before anything is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.carve import halve
from uncork.data.labels import class_indices, listed
from uncork.data.split import Split
from uncork.data.unknown import unknown_categories
from uncork.gather._contract import Context, Fan
from uncork.models.adapt import adapt, infer_task
from uncork.models.base import Model
from uncork.schema.artifacts import FactsData
from uncork.schema.errors import BadInput
from uncork.schema.subject import SPLITS, Subject

BATCH_SIZE = 256

#: Splits beside the model's own, and what they hold.
BESIDE = {
    "strangers": "rows that the model was not made for",
    "shifted": "rows from where the model is to be used next",
    "unlabelled": "rows without labels",
}

LABELLED = (*SPLITS, "shifted")


@dataclass(frozen=True)
class Admitted:
    """A context, and what the report has to say of how it was made."""

    context: Context
    notes: tuple[str, ...]


def admit(subject: Any, *, describe_only: bool, seed: int, fan: Fan) -> Admitted:
    """Checks the subject, settles its task, classes and validation split, and warms the model up.

    Raises BadInput that names the place, what is wrong with it, and the way out.
    """
    if not isinstance(subject, Subject):
        raise BadInput(f"{type(subject).__name__} is no Subject: give Subject(model, test=Split(x, y), ...)")
    subject = _with_module(subject)
    for name in SPLITS:
        _check_split(name, getattr(subject, name), needed=name == "test")
    for name in BESIDE:
        _check_beside(name, getattr(subject, name), subject)
    if subject.validation is subject.test:
        raise BadInput(
            "validation and test are the same Split: what is chosen on rows can't be proven on them. Leave validation "
            "out (half of test is then set aside for it), or describe only (--describe-only)"
        )
    told = _told(subject)
    task = infer_task(subject)
    model = adapt(subject, task)
    if task == "classification":
        told += _by_position(subject, model)
        subject = _with_indices(subject, model)
    else:
        subject = _with_floats(subject)
    subject, notes = _with_validation(subject, describe_only=describe_only)
    _try_each_split(subject, model)
    seconds = _warm_up(subject, model)
    return Admitted(Context(subject, model, _facts(subject, model, task), seed, BATCH_SIZE, seconds, fan), told + notes)


def _told(subject: Subject) -> tuple[str, ...]:
    """What reading the data changed or left out, each note with the splits that it is of."""
    told: dict[str, list[str]] = {}
    for name in (*SPLITS, *BESIDE):
        for note in getattr(getattr(subject, name), "notes", ()):
            told.setdefault(note, []).append(name)
    for name in ("validation", "test", "shifted"):
        split = getattr(subject, name)
        new = None if subject.train is None or split is None else unknown_categories(subject.train, split)
        if new is not None:
            told.setdefault(new, []).append(name)
    return tuple(f"{', '.join(names)}: {note}" for note, names in told.items())


def _with_floats(subject: Subject) -> Subject:
    """Targets of a regression as floats, so that whole numbers are never taken for classes."""
    splits = {name: getattr(subject, name) for name in LABELLED}
    given = {n: s for n, s in splits.items() if s is not None and s.y is not None}
    return subject.replace(**{n: s.with_y(s.y.astype(np.float64)) for n, s in given.items()})


def _with_module(subject: Subject) -> Subject:
    """A path given as model is loaded, weights into what the recipe builds."""
    from os import PathLike

    if not isinstance(subject.model, str | PathLike):
        return subject
    from uncork.models.load import holds_weights, load_model

    make = getattr(subject.recipe, "make", None)
    if make is None or not holds_weights(subject.model):
        return subject.replace(model=load_model(subject.model))
    from uncork.models.weights import load_weights

    return subject.replace(model=load_weights(make(), Path(subject.model)))


def _check_split(name: str, split: Any, *, needed: bool) -> None:
    if split is None:
        if needed:
            raise BadInput("test is None: give test=Split(x, y), rows that the model has never seen")
        return
    if not isinstance(split, Split):
        raise BadInput(f"{name} is of type {type(split).__name__}: wrap it, {name}=Split(x, y)")
    if split.y is None:
        raise BadInput(f"{name}.y is absent: give the labels, {name}=Split(x, y)")
    values = np.unique(split.y)
    if len(values) < 2:
        raise BadInput(
            f"{name}.y holds one value only ({values[0]}): a model can't be judged on rows that are all alike; "
            "check how the split was made"
        )


def _check_beside(name: str, split: Any, subject: Subject) -> None:
    """Rows of the same form as test's, and none of the model's own splits; labels are not asked for."""
    if split is None:
        return
    if not isinstance(split, Split):
        raise BadInput(f"{name} is of type {type(split).__name__}: wrap it, {name}=Split(x)")
    if any(split is getattr(subject, own) for own in SPLITS):
        raise BadInput(f"{name} is one of the model's own splits: give {BESIDE[name]}, or none")
    ours, theirs = (_form(s.take(np.arange(1))) for s in (subject.test, split))
    if ours != theirs:
        raise BadInput(f"{name}.x has {theirs}, but test.x has {ours}: give rows in the form that the model takes")


def _form(row: Any) -> str:
    """What one row is like, in words."""
    if isinstance(row, list):
        return "text"
    if hasattr(row, "columns"):
        return f"the columns {', '.join(map(str, row.columns))}"
    if isinstance(row, dict):
        return "inputs " + ", ".join(f"{name} of shape {np.shape(part)[1:]}" for name, part in row.items())
    return f"rows of shape {tuple(np.shape(row)[1:])}"


def _with_validation(subject: Subject, *, describe_only: bool) -> tuple[Subject, tuple[str, ...]]:
    if describe_only:
        if subject.validation is None:
            subject = subject.replace(validation=subject.test)
            return subject, ("Described on all of test: nothing can be chosen or treated on it afterwards.",)
        return subject, ("Described only: nothing is treated.",)
    if subject.validation is not None:
        return subject, ()
    try:
        validation, test = halve(subject.test, 0)
    except BadInput as error:
        raise BadInput(f"no validation was given and test can't be halved: {error}") from None
    drawn = "the earlier ones" if subject.test.times is not None else "drawn by a hash of their ids"
    note = (
        f"No validation was given: {len(validation)} of the {len(subject.test)} rows of test, {drawn}, were set aside "
        "for it; the figures of test are those of the rest."
    )
    return subject.replace(validation=subject.test.subset(validation), test=subject.test.subset(test)), (note,)


def _with_indices(subject: Subject, model: Model) -> Subject:
    """Labels as class indices in the order of the model's outputs, and a name for each class."""
    outputs = model.n_outputs
    told = subject.classes or model.classes
    names = told or _named_by_data(subject, outputs)
    if names is not None and len(names) != outputs:
        raise BadInput(f"classes names {len(names)} classes, but the model has {outputs} outputs: name each output")
    splits = {name: split for name in LABELLED if (split := getattr(subject, name)) is not None}
    labels = {name: split.y for name, split in splits.items() if split.y is not None}
    if names is not None:
        labels = {name: _by_name(splits[name], name, names, told is not None) for name in labels}
    numbered = names is not None and any(_only_indices(y, names) for y in labels.values())
    changed: dict[str, Split] = {}
    for name, y in labels.items():
        known = None if numbered and y.dtype.kind != "U" else names  # one split's labels say how all are read
        changed[name] = splits[name].with_y(class_indices(y, classes=known, n_outputs=outputs, place=f"{name}.y"))
    names = tuple(names) if names is not None else tuple(str(i) for i in range(outputs))
    if subject.metric.kind == "cost" and len(subject.metric.spec) != outputs:
        raise BadInput(
            f"the cost matrix is for {len(subject.metric.spec)} classes, but the model has {outputs} outputs"
        )
    return subject.replace(classes=names, **changed)


def _only_indices(y: np.ndarray, names: Sequence[str]) -> bool:
    """Whether labels are positions of `names` and can't be names, as 0 to K − 1 of classes called 1 to K."""
    whole = y.dtype.kind in "iuf" and bool((y == np.floor(y)).all())
    if not whole or y.min() < 0 or y.max() >= len(names):
        return False
    return not {str(int(value)) for value in np.unique(y)} <= set(names)


def _by_name(split: Split, place: str, names: Sequence[str], told: bool) -> np.ndarray:
    """(n,) labels, as names where the data's indices stand for `names`, in whatever order.

    Raises BadInput where they stand for others, and it was not `told` which names the outputs have.
    """
    y: np.ndarray = np.asarray(split.y)
    if not split.classes:
        return y
    own = {name.casefold(): name for name in names}  # NEGATIVE in a model's file is negative in the data's
    if len(own) == len(names) and {name.casefold() for name in split.classes} == set(own):
        called = np.asarray([own[name.casefold()] for name in split.classes])
        y = called[class_indices(y, n_outputs=len(names), place=f"{place}.y")]
    elif not told:
        raise BadInput(
            f"{place}'s labels stand for {listed(split.classes)}, but those of another split for {listed(names)}: give "
            "all splits the same classes"
        )
    return y


def _by_position(subject: Subject, model: Model) -> tuple[str, ...]:
    """That the data's classes and the model's bear other names, so that labels go by their order."""
    own = model.classes
    if subject.classes is not None or own is None:
        return ()
    known = {name.casefold() for name in own}
    given = [split.classes for name in LABELLED if (split := getattr(subject, name)) is not None and split.classes]
    for names in given:
        if len(names) == len(own) and known.isdisjoint(name.casefold() for name in names):
            return (
                f"the data's classes {listed(names)} are taken for the model's {listed(own)} by their order: where "
                "that is another one, give Subject(classes=[...]) in the order of the outputs",
            )
    return ()


def _named_by_data(subject: Subject, outputs: int) -> Sequence[str] | None:
    """Names that come with the data; else, where labels are strings, train's, or all splits', in sorted order."""
    splits = [split for name in LABELLED if (split := getattr(subject, name)) is not None and split.y is not None]
    for split in splits:
        if split.classes:
            return tuple(split.classes)
    named = [np.unique(split.y) for split in splits if split.y.dtype.kind == "U"]
    if not named:
        return None
    names: list[str] = named[0].tolist()
    if len(names) != outputs:
        names = np.unique(np.concatenate(named)).tolist()
    if len(names) != outputs:
        raise BadInput(
            f"the labels name {len(names)} classes ({listed(names)}), but the model has {outputs} outputs: give "
            "Subject(classes=[...]), in the order of the outputs"
        )
    return names


def _try_each_split(subject: Subject, model: Model) -> None:
    """One row of each, so that one of another shape is told before anything is written."""
    for name in (*SPLITS, *BESIDE):
        split = getattr(subject, name)
        if split is None:
            continue
        try:
            model.outputs(split.take(np.arange(1)))
        except BadInput as error:
            raise BadInput(f"{name}.{error}" if str(error).startswith("x") else str(error)) from None


def _warm_up(subject: Subject, model: Model) -> float:
    """Seconds of one row's forward pass, from a second batch after a first that warms caches."""
    split = subject.validation
    batch = split.take(np.arange(min(BATCH_SIZE, len(split))))
    model.outputs(batch)
    start = time.perf_counter()
    model.outputs(batch)
    return (time.perf_counter() - start) / min(BATCH_SIZE, len(split))


def _facts(subject: Subject, model: Model, task: str) -> FactsData:
    counts: tuple[int, ...] = ()
    if task == "classification" and subject.train is not None:
        counts = tuple(int(c) for c in np.bincount(subject.train.y, minlength=model.n_outputs))
    return FactsData(
        task=task,
        metric=subject.metric,
        classes=tuple(subject.classes or ()),
        require=subject.requirements,
        sizes={name: len(getattr(subject, name)) for name in SPLITS if getattr(subject, name) is not None},
        class_counts=counts,
        has_recipe=subject.recipe is not None,
        has_inputs=model.has_inputs,
    )
