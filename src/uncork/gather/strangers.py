"""How strange strangers look to the model, and its own rows.

What it gathers
---------------
Scores of strangeness (see `derived/strangeness.py`), as many as the model allows, of up to 1,500 rows of validation, up
to 1,500 of the strangers that the user gave, and noise, 250 rows of each kind: uniform over the box of train's values,
and train's own values with every column shuffled for itself. Where the recipe may be trained, it is also trained
without one class at a time, for up to five of those with 20 rows in validation, drawn at random: rows of that class are
near strangers to that model. Scores are fitted to 3,000 rows of train. A half of the rows, by a hash of their ids or
groups, is marked as the one that chooses. What is around the model (thresholds, a detector of strangers) is put around
models without a class too. Of predictions alone the strangers' predictions are read, where they were given.

How it streams
--------------
Batches; features of the sampled rows are in memory at once, and only scores are stored, 30 bytes a row. Text has no
noise.

What it costs
-------------
A forward pass over up to 8,000 rows, distances to 3,000 rows of train, and a training for each class left out, each in
a process of its own. None is begun after the deadline, and each is kept once it is done.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from uncork.data.carve import halve
from uncork.data.split import Split
from uncork.derived.strangeness import Detector, detectors
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample, width
from uncork.gather._noise import noises
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import Model
from uncork.models.rejecting import Rejecting, alike, read
from uncork.remedies.reject import MOST_FITTED, fit, fitted, independent
from uncork.schema.artifacts import Request
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.strangers import KINDS, NOISE, Strangers, StrangersData
from uncork.train.loop import fit_any

KNOWN, GIVEN, OF_NOISE = 1500, 1500, 250
FEWEST = 20  # rows of a class in validation, for it to be left out
_HALVING = 23  # a seed of its own: validation may be one half of test by another
_PAIR = 2e-9  # seconds that comparing one value of two rows takes


@dataclass(frozen=True)
class Without(Request):
    """What a model trained without one class makes of it."""

    left_out: str
    kind: ClassVar[str] = "without"


@dataclass(frozen=True, eq=False)
class Work:
    """What every training without a class needs. `around`: the model whose wrappers the trained one gets."""

    recipe: Any
    train: Split
    validation: Split
    preprocess: Callable[[Any], Any] | None
    features: str | None
    classes: tuple[str, ...]
    scores: tuple[str, ...]
    around: Model
    known: np.ndarray
    chooses: np.ndarray
    clusters: np.ndarray
    seed: int


def price(request: Strangers, context: Context) -> float:
    _refuse(context)
    subject = context.subject
    sizes = (len(subject.train or ()), MOST_FITTED), (len(context.split("validation")), KNOWN)
    rows = sum(min(size) for size in (*sizes, (len(subject.strangers or ()), GIVEN))) + len(NOISE) * OF_NOISE
    classes = [] if _no_training(context) else _leavable(request, context)
    seconds = sum(context.training[""].seconds for _ in classes) / context.fan.workers
    compared = rows * MOST_FITTED * min(width(context.split("validation")), 512) * _PAIR
    return rows * context.seconds_per_row + compared + seconds


@gatherer(Strangers, price=price)
def gather(request: Strangers, context: Context) -> StrangersData:
    _refuse(context)
    subject, seed, validation = context.subject, context.seed, context.split("validation")
    known, chooses = sample(validation, KNOWN, seed, "strangers", "known"), _half(validation)
    clusters = np.arange(len(validation))
    if validation.groups is not None:
        clusters = np.unique(validation.groups, return_inverse=True)[1]
    scorers = _scorers(context, known)
    look = partial(_look, context.model, scorers)
    parts = [look(validation, known, "known", chooses[known], clusters[known])]
    missing: dict[str, str] = {}
    beyond = len(validation)  # clusters of rows that are not of validation
    if subject.strangers is None:
        missing["given"] = "no strangers were given: give Subject(strangers=Split(x))"
    else:
        given: Split = subject.strangers
        rows = sample(given, GIVEN, seed, "strangers", "given")
        of = np.arange(len(given)) if given.groups is None else np.unique(given.groups, return_inverse=True)[1]
        parts.append(look(given, rows, "given", _half(given)[rows], beyond + of[rows]))
        beyond += len(given)
    try:
        if not context.facts.has_inputs:
            raise Unavailable("only predictions were given: noise takes the model")
        for kind, x in noises(subject.train or validation, OF_NOISE, generator(seed, "strangers", "noise")).items():
            noise = Split(x)
            at = np.arange(len(noise))
            parts.append(look(noise, at, kind, at % 2 == 0, beyond + at))
            beyond += len(noise)
    except UncorkError as error:
        missing |= dict.fromkeys(NOISE, str(error))
    names: list[str] = []
    if reason := _no_training(context):
        missing["left-out"] = reason
    else:
        work = Work(
            subject.recipe,
            subject.train,
            validation,
            subject.preprocess,
            subject.features,
            context.facts.classes,
            tuple(scorers),
            context.model,
            known,
            chooses,
            clusters,
            seed,
        )
        for name, part in _left_out(_leavable(request, context), work, context):
            names.append(name)
            parts.append(dataclasses.replace(part, model=np.full(len(part), len(names), np.int16)))
        if not names:
            missing["left-out"] = "no class could be left out: it takes three classes, and 20 rows of one in validation"
    return _joined(parts, tuple(names), missing)


def _refuse(context: Context) -> None:
    if context.facts.task != "classification":
        raise Unavailable("a regression states no confidence, by which strangers could be told")
    if not context.facts.has_inputs and context.subject.strangers is None:
        raise Unavailable(
            "only predictions were given, and none of strangers: give Subject(strangers=Split(predictions))"
        )


def _scorers(context: Context, known: np.ndarray) -> dict[str, Detector]:
    """Without train, those of the logits alone."""
    validation = context.split("validation")
    if context.subject.train is not None:
        return fit(context.model, context.subject.train, context.seed)
    out = read(context.model, validation, known, "validation")
    assert validation.y is not None
    return detectors(out.logits, None, validation.y[known])


def _half(split: Split) -> np.ndarray:
    """Mask of the half that chooses. It hangs on a row's own id or group: the same rows wherever they are read."""
    mask = np.zeros(len(split), bool)
    try:
        mask[halve(split, _HALVING)[1]] = True
    except BadInput:
        raise Unavailable(f"{len(split)} rows, or their groups, are too few for two halves") from None
    return mask


def _look(
    model: Model,
    scorers: dict[str, Detector],
    split: Split,
    rows: np.ndarray,
    kind: str,
    chooses: np.ndarray,
    clusters: np.ndarray,
) -> StrangersData:
    out = read(model, split, rows, f"{kind} rows")
    assert out.answered is not None
    by_score = [scorer(out.logits, out.features) for scorer in scorers.values()]
    return StrangersData(
        scores=tuple(scorers),
        strangeness=np.stack(by_score, axis=1).astype(np.float32),
        kind=np.full(len(rows), KINDS.index(kind), np.int8),
        model=np.zeros(len(rows), np.int16),
        answered=out.answered,
        chooses=chooses,
        clusters=clusters,
        left_out=(),
        missing={},
    )


def _joined(parts: Sequence[StrangersData], left_out: tuple[str, ...], missing: dict[str, str]) -> StrangersData:
    known: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(StrangersData)
        if isinstance(getattr(parts[0], field.name), np.ndarray)
    }
    return dataclasses.replace(parts[0], **known, left_out=left_out, missing=missing)


def _no_training(context: Context) -> str:
    """Why no class is left out; "" where some may be."""
    if context.subject.recipe is None or context.subject.train is None:
        return "classes can't be left out in training: give Subject(train=..., recipe=...)"
    return "" if "" in context.training else "nothing is retrained here, so no class is left out in training"


def _leavable(request: Strangers, context: Context) -> list[int]:
    """Classes to leave out, drawn at random from those with rows enough."""
    classes, y = len(context.facts.classes), context.split("validation").y
    assert y is not None
    there = np.bincount(y, minlength=classes) >= FEWEST
    there &= np.array(context.facts.class_counts) > 0
    drawn = generator(context.seed, "strangers", "left-out").permutation(classes)
    return drawn[there[drawn]][: request.left_out].tolist() if classes > 2 else []


def _left_out(classes: Sequence[int], work: Work, context: Context) -> list[tuple[str, StrangersData]]:
    """(class, what a model trained without it makes of it), of those that could be trained in time."""
    store, names = context.store, context.facts.classes
    done = {c: data for c in classes if store is not None and (data := store.get(Without(names[c]))) is not None}

    def jobs() -> Iterator[tuple[int]]:
        for c in classes:
            if c not in done and (context.deadline is None or time.monotonic() < context.deadline):
                yield (c,)

    for c, data in context.fan.each(partial(without, work), jobs()):
        if data is not None:
            done[c] = data
            if store is not None:
                store.put(Without(names[c]), data)
    return [(names[c], done[c]) for c in classes if c in done]


def without(work: Work, c: int) -> tuple[int, StrangersData | None]:
    """What a model trained without class c makes of it, and of the rest; None where it diverges. In a process."""
    assert work.train.y is not None
    assert work.validation.y is not None
    train, seed = work.train.subset(work.train.y != c), integer_seed(work.seed, "strangers", "left-out", c)
    try:
        raw = fit_any(work.recipe, train, seed, preprocess=work.preprocess)
    except UncorkError:
        return c, None
    inner = as_model(raw, "classification", preprocess=work.preprocess, features=work.features)
    inner.outputs(train.take(np.arange(2)))  # a torch module tells its number of outputs when it has run
    inner = aligned(inner, work.classes)
    known = work.known[work.validation.y[work.known] != c]
    setting = independent(work.validation, known[work.chooses[known]], generator(work.seed, "strangers", "setting"))

    def refit(old: Rejecting, new: Model) -> Model:
        limits = old.rate, old.confidence
        return fitted(new, old.detector.name, train, work.validation, setting, limits, work.seed)

    scorers = fit(inner, train, work.seed)
    if not set(work.scores) <= set(scorers):
        return c, None
    chosen = {name: scorers[name] for name in work.scores}
    look = partial(_look, alike(work.around, inner, refit), chosen, work.validation)
    strangers = np.flatnonzero(work.validation.y == c)
    parts = [
        look(rows, kind, work.chooses[rows], work.clusters[rows])
        for rows, kind in ((known, "known"), (strangers, "left-out"))
    ]
    return c, _joined(parts, (), {})
