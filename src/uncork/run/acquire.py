"""Which unlabelled rows to label next, by the strategy that surely beat random rows on train, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.derived.gains import gain_of
from uncork.gather._contract import Context
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import Model
from uncork.remedies._contract import needs_recipe
from uncork.remedies._retrain import ByRecipe
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.progress import Progress, Silent, working
from uncork.run.worth import seconds_of_training
from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.multiplicity import lower_bound
from uncork.train.acquire import STRATEGIES
from uncork.train.recipe import Recipe

START, ADDED = 0.15, 0.15  # shares of train: labelled at first, and bought
REPEATS = 5
TRAININGS = REPEATS * (1 + len(STRATEGIES))
FEWEST = 100  # rows of train


@dataclass(frozen=True)
class Acquisition:
    """ids: of the rows of `unlabelled` to label, the first first. strategy: what ranked them. gains: of each strategy
    over random rows, in the metric's display unit, as simulated; empty where the strategy was given."""

    ids: list[Any]
    strategy: str
    gains: Mapping[str, Estimate] = field(default_factory=dict)


def acquire(
    subject: Subject,
    n: int,
    strategy: str = "auto",
    *,
    seed: int = 0,
    backend: str = "loky",
    address: str | None = None,
    progress: Progress | None = None,
) -> Acquisition:
    """The n rows of `subject.unlabelled` to label next; all of them where there are fewer.

    `strategy`: "random", "margin", "typical" or "badge" (`uncork.train.acquire`); "auto" simulates: from 15 % of train
    each buys as many rows again from the rest, a model is trained on both and judged on validation, in five repeats,
    which takes 25 trainings. The one that gains most over random rows is taken if its lower bound, corrected for how
    many there are, is above 0; else random rows. Raises BadInput where n or the strategy is none, Unavailable where
    something is missing.
    """
    if strategy not in ("auto", *STRATEGIES):
        raise BadInput(f"strategy {strategy!r} is not known: use auto or one of {', '.join(STRATEGIES)}")
    if n < 1:
        raise BadInput(f"n is {n}: give how many rows can be labelled, 1 or more")
    if not isinstance(subject.unlabelled, Split):
        raise BadInput("there are no rows to choose from: give Subject(unlabelled=Split(x))")
    fan = Executor(backend, address)
    context = admit(subject, describe_only=False, seed=seed, fan=fan).context
    if context.facts.task != "classification":
        raise Unavailable("rows to label are chosen by class probabilities: a regression has none")
    if strategy == "auto" and context.facts.metric.kind == "callable":
        raise Unavailable(f"{context.facts.metric.name} is a function, which five repeats can't judge: name a strategy")
    gains: dict[str, Estimate] = {}
    if strategy == "auto":
        # What a callable takes is not known before it is called.
        each = seconds_of_training(context, None) if isinstance(subject.recipe, Recipe) else 0.0
        left = TRAININGS * each / min(fan.workers, REPEATS)
        with working(progress or Silent(), f"trying strategies, {TRAININGS} trainings", left):
            gains = simulated(context)
        strategy = surely_best(gains)
    logits, features = _answers(context.model, subject.unlabelled)
    rows = STRATEGIES[strategy](logits, features, min(n, len(logits)), generator(seed, "acquire", strategy))
    return Acquisition(subject.unlabelled.ids[rows].tolist(), strategy, gains)


def simulated(context: Context) -> dict[str, Estimate]:
    """What each strategy gains over random rows on validation: mean over rows and repeats, crossed."""
    subject, metric = context.subject, context.facts.metric
    needs_recipe(subject, "trying strategies on train")
    train, rows = subject.train, len(subject.train)
    if rows < FEWEST:
        raise Unavailable(f"train has {rows} rows: under {FEWEST} nothing can be tried on it; name a strategy")
    jobs = []
    for repeat in range(REPEATS):
        order = generator(context.seed, "acquire", repeat).permutation(rows)
        start, added = order[: round(START * rows)], round(ADDED * rows)
        if len(np.unique(train.y[start])) < 2:
            raise Unavailable("15 % of train holds one class alone: name a strategy")
        once = integer_seed(context.seed, "acquire", "model", repeat)
        jobs.append((subject.without_test(), context.facts.classes, start, added, once))
    y, groups = subject.validation.y, subject.validation.groups
    clusters = None if groups is None else np.unique(groups, return_inverse=True)[1]
    found = context.fan(bought, jobs)
    passes = {name: [PassData.of_logits(each[name], y, clusters=clusters) for each in found] for name in STRATEGIES}
    return {name: gain_of(metric, passes["random"], passes[name]) for name in STRATEGIES if name != "random"}


def bought(
    subject: Subject, classes: tuple[str, ...], start: np.ndarray, added: int, seed: int
) -> dict[str, np.ndarray]:
    """Logits on validation by a model of the rows in `start` and those that each strategy adds, by strategy.

    All take the steps of the recipe on all of train, from one seed.
    """
    train, validation = subject.train, subject.validation
    train_by = ByRecipe({"steps": subject.recipe.steps(len(train))} if isinstance(subject.recipe, Recipe) else {})

    def model_of(rows: np.ndarray) -> Model:
        fitted = train_by(subject.replace(train=train.subset(rows)), seed)
        model = as_model(fitted, "classification", preprocess=subject.preprocess, features=subject.features)
        model.outputs(train.take(rows[:1]))  # a torch module tells its number of outputs when it has run
        return aligned(model, classes)

    rest = np.setdiff1d(np.arange(len(train)), start)
    logits, features = _answers(model_of(start), train.subset(rest))
    return {
        name: _answers(
            model_of(np.concatenate([start, rest[choose(logits, features, added, generator(seed, name))]])), validation
        )[0]
        for name, choose in STRATEGIES.items()
    }


def surely_best(gains: Mapping[str, Estimate]) -> str:
    """The strategy of largest gain whose lower bound, corrected for all of them, is above 0; else "random"."""
    sure = {
        name: gain.value
        for name, gain in gains.items()
        if gain.value is not None and (lower_bound(gain, len(gains)) or 0.0) > 0
    }
    return max(sure, key=lambda name: sure[name]) if sure else "random"


def _answers(model: Model, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """(logits, features) of every row; the logits stand for features where the model has none."""
    outputs = [model.outputs(batch, features=True) for _, batch in split.batches(256)]
    logits = np.concatenate([out.logits for out in outputs])
    features = [out.features for out in outputs if out.features is not None]
    return logits, np.concatenate(features) if len(features) == len(outputs) else logits
