"""What other encoders' features are worth on the subject's task.

What it gathers
---------------
A linear head on the frozen features of each of `backbones`, fitted on four fifths of train and scored on the last,
copies and groups on one side; beyond four backbones only for the four of largest log evidence (LogME) there. The best
one, where it is a torch module, there is a Recipe and it takes five minutes at most, is trained on as a whole, from
its head, at a tenth of the recipe's learning rate. The better of the two is made anew of all of train and answers
validation: what chose it was train alone. Beside it stand, on the same rows, a head on the model's own penultimate
features; the recipe's models of three seeds; and at 1, 5 and 20 rows a class, drawn three times, heads on the winner's
frozen features and the recipe.

How it streams
--------------
Batches; every backbone's features of up to 20,000 rows of train, and the winner's of as many of validation, are in
memory at once, and only outputs are kept.

What it costs
-------------
A pass of each backbone over train, priced by 8 rows; heads of a second or so; 12 trainings by the recipe, two of the
backbone. Without a recipe, no training.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.derived.log_evidence import log_evidence
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.gather._tree import together
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.on_features import Encoder, as_encoder, features_of
from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.poor_transfer import Transfer, TransferData
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.score import score
from uncork.train.linear_head import HeadRecipe, fit_head, tunable
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe

MOST_ROWS, SHORT_LIST = 20_000, 4
MEMBERS, DRAWS = 3, 3
TIMED = 8  # rows
STEP = 3.0  # forward passes that a training step takes
MOST_SECONDS = 300.0  # of training a backbone on, twice
_HEAD = 1.0  # seconds


def price(request: Transfer, context: Context) -> float:
    _refuse(context)
    subject, rows = context.subject, sum(min(len(context.split(name)), MOST_ROWS) for name in ("train", "validation"))
    spent, dearest = context.seconds_per_row * rows, 0.0
    for backbone in (subject.backbones or {}).values():
        encoder = as_encoder(backbone, subject.preprocess)
        spent += _seconds_per_row(encoder, context) * rows + _HEAD
        tuning = _seconds_of_tuning(encoder, context)
        dearest = max(dearest, tuning if tuning <= MOST_SECONDS else 0.0)
    each = context.training[""].seconds if "" in context.training and subject.recipe is not None else 0.0
    return spent + dearest + (MEMBERS + DRAWS * len(request.rungs)) * each / context.fan.workers


@gatherer(Transfer, price=price)
def gather(request: Transfer, context: Context) -> TransferData:
    _refuse(context)
    seed = integer_seed(context.seed, "poor-transfer")
    work = _work(context, seed)
    backbones: dict[str, Any] = dict(context.subject.backbones or {})
    encoders = {name: as_encoder(backbone, context.subject.preprocess) for name, backbone in backbones.items()}
    screen, y = _screen(work), work.y
    features = {name: _features(name, encoder, work.train) for name, encoder in encoders.items()}
    evidence: dict[str, float] = {}
    if len(features) > SHORT_LIST:
        evidence = {name: log_evidence(x[~screen], y[~screen], work.classes) for name, x in features.items()}
    listed = sorted(features, key=lambda name: -evidence.get(name, 0.0))[:SHORT_LIST]
    screened = dict.fromkeys(features, math.nan)
    for name in listed:
        weight, bias = fit_head(features[name][~screen], y[~screen], work.classes, seed)
        screened[name] = work.value(features[name][screen] @ weight.T + bias, y[screen])
    winner = min(listed, key=lambda name: work.metric.sign * screened[name])
    left_out: dict[str, str] = {}
    tuned = _tuned(encoders[winner], work, screen, context, left_out)
    better = work.metric.sign * tuned < work.metric.sign * screened[winner]  # NaN is not
    how = "fine-tuned" if better else "frozen"
    judged = _features(winner, encoders[winner], work.judged)
    weight, bias = fit_head(features[winner], y, work.classes, seed)
    outputs = judged @ weight.T + bias
    if better:
        recipe = HeadRecipe(work.task, work.classes, encoders[winner], context.subject.recipe)
        (outputs,) = context.fan(_answer, [(recipe, work.train, work.judged, seed)])
    groups = work.judged.groups
    few_frozen, few_recipe, rungs = _rungs(request, context, work, features[winner], judged, left_out)
    return TransferData(
        backbones=tuple(backbones),
        screened=tuple(screened[name] for name in backbones),
        evidence=tuple(evidence.values()),
        tuned=tuned,
        winner=winner,
        how=how,
        screen_rows=int(screen.sum()),
        fitted_rows=len(work.train),
        task=work.task,
        rows=work.rows,
        y=work.judged_y,
        clusters=work.rows if groups is None else np.unique(groups, return_inverse=True)[1],
        made=outputs[None],
        own=_own(context, work, left_out),
        members=_members(context, work, left_out),
        rungs=rungs,
        few_frozen=few_frozen,
        few_recipe=few_recipe,
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Work:
    """At most MOST_ROWS rows of train, its groups those that stay together, and of validation, at `rows` of it.

    `classes`: 0 in a regression.
    """

    train: Split
    judged: Split
    rows: np.ndarray
    task: str
    classes: int
    names: tuple[str, ...]
    metric: Any
    seed: int

    @property
    def y(self) -> np.ndarray:
        assert self.train.y is not None
        return self.train.y

    @property
    def judged_y(self) -> np.ndarray:
        assert self.judged.y is not None
        return self.judged.y

    def value(self, outputs: np.ndarray, y: np.ndarray) -> float:
        """The metric; unknown is the worst there is."""
        made = PassData.of_logits(outputs, y) if self.classes else PassData.of_values(outputs[:, 0], y)
        value = score(self.metric, made).value
        return float(self.metric.sign * math.inf) if value is None else value


def _refuse(context: Context) -> None:
    if not context.subject.backbones:
        raise Unavailable("no other encoder was given: give Subject(backbones={name: module from a batch to features})")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: an encoder needs the rows themselves")
    context.split("train")


def _work(context: Context, seed: int) -> _Work:
    train, validation = context.split("train"), context.split("validation")
    rows = sample(train, MOST_ROWS, seed, "train")
    at = sample(validation, MOST_ROWS, seed, "validation")
    few = train.subset(rows)
    task = context.facts.task
    return _Work(
        train=few,
        judged=validation.subset(at),
        rows=at,
        task=task,
        classes=len(context.facts.classes) if task == "classification" else 0,
        names=context.facts.classes,
        metric=context.facts.metric,
        seed=seed,
    )


def _screen(work: _Work) -> np.ndarray:
    """Mask of the fifth of train that chooses. Raises Unavailable where train is too small for it."""
    y = work.y
    try:
        of = Split(np.zeros((len(y), 1)), y, groups=together(work.train))
        screen: np.ndarray = folds(of, 5, work.seed, stratify=bool(work.classes)) == 0
    except BadInput as error:
        raise Unavailable(f"train is too small to choose a backbone inside it: {error}") from None
    if work.classes and len(np.unique(y[~screen])) < 2:
        raise Unavailable("train is too small to choose a backbone inside it: one class alone is left to fit on")
    return screen


def _features(name: str, encoder: Encoder, split: Split) -> np.ndarray:
    try:
        return features_of(encoder, split)
    except (BadInput, Unavailable) as error:
        raise type(error)(f"backbones[{name!r}]: {error}") from None


def _answer(recipe: Any, train: Split, judged: Split, seed: int) -> np.ndarray:
    """Outputs on the rows that judge, of a model that a HeadRecipe makes."""
    return logits_of(recipe(train, seed), judged)


def _retrained(subject: Subject, work: _Work, rows: np.ndarray, seed: int) -> np.ndarray:
    """Outputs of the recipe trained on these rows, for as many steps as on all of train."""
    settings: dict[str, Any] = {}
    if isinstance(subject.recipe, Recipe):
        settings = {"steps": subject.recipe.steps(len(work.train)), "preprocess": subject.preprocess}
    few = work.train.subset(rows)
    model = as_model(fit_any(subject.recipe, few, seed, **settings), work.task, preprocess=subject.preprocess)
    model.outputs(few.take(np.arange(1)))  # a torch module tells its number of outputs when it has run
    return logits_of(aligned(model, work.names) if work.classes else model, work.judged)


def _seconds_per_row(encoder: Encoder, context: Context) -> float:
    """Of a forward pass, from a second look at a few rows."""
    split = context.split("validation")
    few = split.take(np.arange(min(TIMED, len(split))))
    encoder.features(few)
    start = time.perf_counter()
    encoder.features(few)
    return (time.perf_counter() - start) / min(TIMED, len(split))


def _seconds_of_tuning(encoder: Encoder, context: Context) -> float:
    """Of training it on four fifths of train and then on all, for the recipe's epochs; 0 without a Recipe."""
    recipe, rows = context.subject.recipe, min(len(context.split("train")), MOST_ROWS)
    if not isinstance(recipe, Recipe):
        return 0.0
    return 1.8 * STEP * recipe.steps(rows) * recipe.batch_size * _seconds_per_row(encoder, context)


def _tuned(encoder: Encoder, work: _Work, screen: np.ndarray, context: Context, left_out: dict[str, str]) -> float:
    """The winner's metric on the rows that choose, once it is trained on; NaN where it can't be."""
    recipe = context.subject.recipe
    if not isinstance(recipe, Recipe):
        left_out["fine-tuned"] = "training on takes a Recipe: give Subject(recipe=Recipe(...))"
        return math.nan
    try:
        tunable(encoder)
        seconds = _seconds_of_tuning(encoder, context)
        if seconds > MOST_SECONDS:
            raise Unavailable(
                f"training the backbone on would take about {seconds:.0f} s: try it with a recipe of its own"
            )
    except Unavailable as error:
        left_out["fine-tuned"] = str(error)
        return math.nan
    train, held = work.train.subset(~screen), work.train.subset(screen)
    made = HeadRecipe(work.task, work.classes, encoder, recipe)
    (outputs,) = context.fan(_answer, [(made, train, held, work.seed)])
    return work.value(outputs, work.y[screen])


def _own(context: Context, work: _Work, left_out: dict[str, str]) -> np.ndarray:
    """A head on the model's own features: what its last layer could do better. The features know train's labels, so
    that only validation can tell."""
    try:
        own = HeadRecipe(work.task, work.classes, Encoder(context.model))
        return _answer(own, work.train, work.judged, work.seed)[None]
    except Unavailable as error:
        left_out["own"] = str(error)
        return _none(work, 0)


def _members(context: Context, work: _Work, left_out: dict[str, str]) -> np.ndarray:
    if context.subject.recipe is None:
        left_out["recipe"] = "nothing can be trained from scratch without a recipe: give Subject(recipe=Recipe(...))"
        return _none(work, 0)
    rows, subject = np.arange(len(work.train)), context.subject.without_test().replace(backbones=None)
    jobs = [(subject, work, rows, integer_seed(work.seed, "member", i)) for i in range(MEMBERS)]
    return np.stack(context.fan(_retrained, jobs))


def _rungs(
    request: Transfer,
    context: Context,
    work: _Work,
    x: np.ndarray,
    judged: np.ndarray,
    left_out: dict[str, str],
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """(heads on frozen features, the recipe, rungs): of so many rows a class. x, judged: features of train and of the
    rows that judge."""
    if not work.classes:
        left_out["few"] = "a regression has no classes to draw rows of"
    if context.subject.recipe is None or not work.classes:
        return _none(work, 0, DRAWS), _none(work, 0, DRAWS), ()
    y = work.y
    rungs = tuple(k for k in request.rungs if k * work.classes < len(y) and (np.bincount(y) >= k).sum() > 1)
    subject = context.subject.without_test().replace(backbones=None)
    frozen, jobs = [], []
    for k in rungs:
        for draw in range(DRAWS):
            order = generator(work.seed, "few", k, draw).permutation(len(y))
            rows = np.concatenate([order[y[order] == c][:k] for c in range(work.classes)])
            weight, bias = fit_head(x[rows], y[rows], work.classes, work.seed)
            frozen.append((judged @ weight.T + bias).astype(np.float32))
            jobs.append((subject, work, rows, integer_seed(work.seed, "few", k, draw)))
    shape = len(rungs), DRAWS, len(work.judged), work.classes
    return np.array(frozen).reshape(shape), np.array(context.fan(_retrained, jobs)).reshape(shape), rungs


def _none(work: _Work, *shape: int) -> np.ndarray:
    return np.zeros((*shape, len(work.judged), work.classes or 1), np.float32)
