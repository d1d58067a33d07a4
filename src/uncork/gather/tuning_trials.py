"""What the recipe scores by settings drawn at random.

What it gathers
---------------
Settings are drawn independently: learning rates from a 30th to 30 times the recipe's and weight decays likewise, both
log-uniform, and batches of a quarter, half, once, twice or four times the recipe's size. By each the recipe is trained
once on four fifths of train for all its epochs, and scored on the last fifth by the subject's metric; the recipe as it
is too. No trial is stopped early, since what the best of so many reaches is then no longer known. The best one and the
recipe as it is are trained on all of train from the same fresh seeds, and run on validation. Which hyperparameters
matter is told by PED-ANOVA (extra `tune`), beside what it tells of scores that were shuffled.

How it streams
--------------
At most 4,096 rows of validation, a seeded sample; outputs of them alone are kept.

What it costs
-------------
Four fifths of a training for each of 24 trials and one more, and six trainings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.derived.confidence import outputs
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput, MissingExtra, Unavailable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.tuning_trials import TuningTrials, TuningTrialsData
from uncork.stats.score import influence
from uncork.train.importance import ped_anova
from uncork.train.recipe import Recipe
from uncork.train.tuned import fitted_net

NAMES = ("learning rate", "weight decay", "batch size")
SPAN, SIZES = 30.0, (0.25, 0.5, 1.0, 2.0, 4.0)
PARTS, ROWS, SHUFFLES = 5, 4096, 99


def price(request: TuningTrials, context: Context) -> float:
    seconds = context.training[""].seconds if "" in context.training else 0.0
    return ((request.trials + 1) * (1 - 1 / PARTS) + 2 * request.seeds) * seconds / context.fan.workers


@gatherer(TuningTrials, price=price)
def gather(request: TuningTrials, context: Context) -> TuningTrialsData:
    subject, recipe, train = context.subject, context.subject.recipe, context.split("train")
    if not isinstance(recipe, Recipe):
        raise Unavailable("other settings are tried by training: give Subject(recipe=Recipe(...))")
    task, metric, preprocess = context.facts.task, context.facts.metric, subject.preprocess
    try:
        seed = integer_seed(context.seed, "tuning-trials", "held")
        held = folds(train, PARTS, seed, stratify=task == "classification") == 0
    except BadInput as why:
        raise Unavailable(f"train is too small to judge settings inside it: {why}") from None
    tried = drawn_settings(recipe, request.trials, len(train), generator(context.seed, "tuning-trials"))
    fitted, judges = train.subset(~held), train.subset(held)
    jobs = [
        (r, fitted, judges, integer_seed(context.seed, "tuning-trials", i), task, metric, preprocess)
        for i, r in enumerate((recipe, *tried))
    ]
    own, *scores = context.fan(_score, jobs)
    settings = np.array([[r.lr, r.weight_decay, r.batch_size] for r in tried])
    worse = metric.sign * np.array(scores)  # lower is better
    best = int(worse.argmin())
    if not np.isfinite(worse[best]):
        raise Unavailable("the recipe diverges at every setting that was drawn: lower lr")
    validation = context.split("validation")
    judged = validation.subset(sample(validation, ROWS, context.seed, "tuning-trials", "validation"))
    final = [
        (r, train, judged, None, task, integer_seed(context.seed, "tuning-trials", "model", s), preprocess)
        for r in (recipe, tried[best])
        for s in range(request.seeds)
    ]
    done = [None if out is None else out.reshape(len(judged), -1) for out, _ in context.fan(fitted_net, final)]
    kept = np.zeros((2, 0, len(judged), 1)) if any(out is None for out in done) else np.array(done)
    importance, null, why_not = _importance(settings, worse, context.seed)
    return TuningTrialsData(
        task=task,
        names=NAMES,
        settings=settings,
        scores=np.array(scores),
        own=float(own),
        held_rows=len(judges),
        importance=importance,
        importance_null=null,
        best=best,
        outputs=kept.reshape(2, -1, *kept.shape[-2:]).astype(np.float32),
        y=np.asarray(judged.y),
        clusters=np.arange(len(judged)) if judged.groups is None else np.unique(judged.groups, return_inverse=True)[1],
        unimportant=why_not,
    )


def drawn_settings(recipe: Recipe, trials: int, n: int, rng: np.random.Generator) -> list[Recipe]:
    """So many independent draws; batches of 2 rows at least, and of `n` at most."""
    found = []
    for _ in range(trials):
        rate, decay = SPAN ** rng.uniform(-1, 1, size=2)
        size = int(np.clip(round(recipe.batch_size * float(rng.choice(SIZES))), min(2, n), n))
        found.append(recipe.decayed(float(decay)).replace(lr=recipe.lr * float(rate), batch_size=size))
    return found


def _importance(settings: np.ndarray, scores: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    try:
        found = ped_anova(NAMES, settings, scores)
    except MissingExtra as why:
        return np.zeros(0), np.zeros((0, len(NAMES))), str(why)
    rng = generator(seed, "tuning-trials", "shuffle")
    return found, np.array([ped_anova(NAMES, settings, rng.permutation(scores)) for _ in range(SHUFFLES)]), ""


def _score(
    recipe: Recipe,
    train: Split,
    held: Split,
    seed: int,
    task: str,
    metric: Metric,
    preprocess: Callable[[Any], Any] | None,
) -> float:
    """The metric on `held`, in its display unit; the worst there is where training diverged."""
    out, _ = fitted_net(recipe, train, held, None, task, seed, preprocess)
    if out is None:
        return float("inf") * metric.sign
    assert held.y is not None
    passed = PassData.of_logits(out, held.y) if task == "classification" else PassData.of_values(out, held.y)
    if metric.kind == "callable":
        return metric.scale * float(metric.spec(outputs(passed), passed.y))
    return metric.scale * influence(metric, passed)[0]
