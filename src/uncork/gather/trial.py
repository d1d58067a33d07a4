"""Rival families fitted on the same data, and the recipe tuned as often as they are.

What it gathers
---------------
Each family is fitted by a few settings (see `train/rivals.py`) on four fifths of train and scored on the last fifth; so
is the recipe, by as many learning rates and weight decays. The best setting of the best family is fitted again on all
of train and gives its outputs on validation, and so does the recipe by its best setting. Validation chooses nothing.
Tables with categories and missing values are read by a `TableEncoder` fitted on the rows that the rival is fitted on.

How many settings is decided by sizes alone: up to four; fewer where they would take more than 40 s of one core; one
where train has fewer than 1,000 rows, of which a fifth can't tell settings apart, or rows more than 256 columns. There
histogram boosting also stands for xgboost and lightgbm. The recipe isn't tuned where nothing is retrained, where
its trainings would take over a minute, or where each family has one setting.

How it streams
--------------
It doesn't: at most 20,000 rows of train and of validation, a seeded sample, are read as one matrix of 32-bit floats, or
one table; beyond 256 columns the first 64 principal components (of train) stand for them. The recipe's models stream.

What it costs
-------------
One small fit for each family and setting and one of the winner, and one training for each of the recipe's settings and
one of the best, each in a process of its own with one thread, where nothing else slows it down.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import matrix, sample, width
from uncork.schema.artifacts import PassData, Trial, TrialData, TunedData
from uncork.schema.errors import BadInput, MissingExtra, Unavailable
from uncork.schema.metric import Metric
from uncork.schema.seeds import integer_seed
from uncork.stats.score import score
from uncork.train.recipe import Recipe
from uncork.train.rivals import BOOSTED, COMPONENTS, MOST_ROWS, SETTINGS, TREES, WIDE, fitted_rival, in_words, installed
from uncork.train.tuned import FACTORS, by_setting, fitted_net
from uncork.train.tuned import in_words as recipe_in_words

WHO = "rival families"
FEWEST_ROWS = 1_000  # of train, of which a fifth tells settings apart
CHEAP, MOST_TUNING = 40.0, 60.0  # seconds: of one core for all rivals; of all trainings for the recipe's tuning
FIFTHS = 5
_START = 3.0  # seconds: processes, and what they import


def price(request: Trial, context: Context) -> float:
    """Rough, from the sizes; the recipe's trainings as they were timed."""
    families, trials, _ = planned(request, context)
    rivals = _cost(families, trials, *_sizes(context))
    return _START + rivals / context.fan.workers + (0.0 if _untuned(context, trials) else _tuning(context, trials))


@gatherer(Trial, price=price)
def gather(request: Trial, context: Context) -> TrialData:
    seed = integer_seed(context.seed, "trial")
    train, validation = _train(context), context.split("validation")
    families, trials, left_out = planned(request, context)
    rows = sample(train, MOST_ROWS, context.seed, "trial", "train")
    fresh_rows = sample(validation, MOST_ROWS, context.seed, "trial", "validation")
    assert train.y is not None
    groups = None if train.groups is None else train.groups[rows]
    known = Split(_read(train, "train", rows), train.y[rows], groups=groups)
    task, metric, classes = context.facts.task, context.facts.metric, len(context.facts.classes)
    screen = _screen(known, seed, task)
    fitted, judging = known.subset(~screen), known.subset(screen)
    whole, x, held = (part.take(np.arange(len(part))) for part in (known, fitted, judging))

    tried = [(family, setting) for family in families for setting in range(trials)]
    jobs = [(family, x, fitted.y, held, task, classes, seed, setting) for family, setting in tried]
    found = context.fan(fitted_rival, jobs)
    values = np.array([_value(metric, one.outputs, judging.y, task) for one in found]).reshape(-1, trials)
    best = (metric.sign * values).argmin(axis=1)
    screened = values[np.arange(len(families)), best]
    first = int((metric.sign * screened).argmin())
    winner, setting = families[first], int(best[first])
    fresh = _read(validation, "validation", fresh_rows)
    (won,) = context.fan(fitted_rival, [(winner, whole, known.y, fresh, task, classes, seed, setting)])

    untuned, tuned = _untuned(context, trials), None
    if not untuned:
        tuned = _tuned(context, trials, rows[~screen], rows[screen], fresh_rows, seed)
    return TrialData(
        families=families,
        screened=tuple(screened.tolist()),
        seconds=tuple(np.array([one.seconds for one in found]).reshape(-1, trials).sum(axis=1).tolist()),
        screen_rows=int(screen.sum()),
        fitted_rows=len(known),
        winner=winner,
        passed=_passed(won.outputs, validation, fresh_rows, task),
        trials=trials,
        settings=tuple(in_words(family, int(k)) for family, k in zip(families, best, strict=True)),
        setting=setting,
        numbers=won.numbers,
        model_numbers=context.model.describe().get("parameters") or 0,
        left_out=left_out,
        tuned=tuned,
        untuned="its trainings diverged" if tuned is None and not untuned else untuned,
    )


def planned(request: Trial, context: Context) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """(families, settings of each, families that are left out and why): by sizes and what is installed alone."""
    left_out = [f"{family}: pip install 'uncork[tabular]'" for family in request.families if not installed(family)]
    families = [family for family in request.families if installed(family)]
    if not families:
        raise MissingExtra("tabular", f"trying {', '.join(request.families)}")
    rows, columns, classes = _sizes(context)
    most = min(request.trials, len(FACTORS), *(len(SETTINGS[family]) for family in families))
    if rows < FEWEST_ROWS or columns > WIDE:
        most = 1
    trials = next((n for n in range(most, 1, -1) if _cost(families, n, rows, columns, classes) <= CHEAP), 1)
    few = rows < FEWEST_ROWS or columns > WIDE or _cost(families, trials, rows, columns, classes) > CHEAP
    boosted = [family for family in families if family in BOOSTED]
    for family in boosted[1:] if few else ():
        families.remove(family)
        left_out.append(f"{family}: {boosted[0]} stands for it on a table of this size")
    return tuple(families), trials, tuple(left_out)


def _sizes(context: Context) -> tuple[int, int, int]:
    """Rows that rivals are fitted on, columns as given, and trees that are grown at once."""
    train, classes = _train(context), len(context.facts.classes)
    return min(len(train), MOST_ROWS), width(train), classes if classes > 2 else 1


def _cost(families: Any, trials: int, rows: int, columns: int, classes: int) -> float:
    """Seconds of one core: a tree takes 200 µs, and for each column 65 µs and 5 ns a row; small rows and trees less."""
    columns = COMPONENTS if columns > WIDE else columns
    share = min(1.0, math.sqrt(rows / 2000))
    cost = []
    for family in families:
        if family in BOOSTED:
            leaves = [setting["leaves"] / 31 for setting in SETTINGS[family][:trials]]
            fits = [2e-4 + columns * (6.5e-5 * share * size + 5e-9 * rows) for size in leaves]
            cost.append([TREES * classes * fit for fit in fits])
        else:
            fit = 8e-7 * classes if family == "linear" else 2e-10 * rows
            cost.append([0.1 + rows * columns * fit] * trials)
    return sum(map(sum, cost)) + max(map(max, cost))


def _untuned(context: Context, trials: int) -> str:
    """Why the recipe isn't tuned; "" where it is."""
    if context.subject.recipe is None:
        return "no recipe was given"
    if not isinstance(context.subject.recipe, Recipe):
        return "the recipe is a callable, whose settings can't be changed"
    if trials == 1:
        return "rivals had one setting each, too"
    if "" not in context.training:
        return "nothing is retrained here"
    if _tuning(context, trials) > MOST_TUNING:
        return f"its {trials + 1} trainings would take over {MOST_TUNING:.0f} s"
    if context.deadline is not None and time.monotonic() > context.deadline:
        return "the time given was used up"
    return ""


def _tuning(context: Context, trials: int) -> float:
    """Seconds that all trainings of the recipe take, side by side: timed, or three forward passes a step."""
    recipe, train = context.subject.recipe, _train(context)
    alone = 3 * recipe.steps(len(train)) * recipe.batch_size * context.seconds_per_row
    return float((trials + 1) * max(context.training[""].seconds, alone) / context.fan.workers)


def _tuned(
    context: Context, trials: int, fitted: np.ndarray, judging: np.ndarray, fresh: np.ndarray, seed: int
) -> TunedData | None:
    """None where every setting diverges. Each takes as many steps as the recipe does on all of train."""
    subject, task, metric = context.subject, context.facts.task, context.facts.metric
    train, validation = _train(context), context.split("validation")
    part, held, steps = train.subset(fitted), train.subset(judging), subject.recipe.steps(len(train))
    recipes = [by_setting(subject.recipe, setting) for setting in range(trials)]
    jobs = [(recipe, part, held, steps, task, seed, subject.preprocess) for recipe in recipes]
    found = context.fan(fitted_net, jobs)
    worst = metric.sign * math.inf
    values = [worst if out is None else _value(metric, out, held.y, task) for out, _ in found]
    best = int((metric.sign * np.array(values)).argmin())
    job = (recipes[best], train, validation.subset(fresh), steps, task, seed, subject.preprocess)
    ((outputs, _),) = context.fan(fitted_net, [job])
    if outputs is None:
        return None
    seconds = sum(spent for _, spent in found)
    return TunedData(recipe_in_words(recipes[best]), values[best], seconds, _passed(outputs, validation, fresh, task))


def _train(context: Context) -> Split:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: rival families need the rows themselves")
    return context.split("train")


def _read(split: Split, name: str, rows: np.ndarray) -> Any:
    """These rows as a table, where they are one, or as a float32 matrix."""
    if split.kind == "frame":
        return split.take(rows)
    if split.kind not in ("array", "dataset"):
        raise Unavailable(f"rows are {split.kind}: {WHO} need numbers or a table")
    return matrix(split, name, rows, WHO)


def _screen(split: Split, seed: int, task: str) -> np.ndarray:
    """Mask of the fifth of train that screens. Raises Unavailable where train is too small for it."""
    assert split.y is not None
    try:
        screen: np.ndarray = folds(split, FIFTHS, seed, stratify=task == "classification") == 0
    except BadInput as e:
        raise Unavailable(f"train is too small to screen rivals inside it: {e}") from None
    if task == "classification" and len(np.unique(split.y[~screen])) < 2:
        raise Unavailable("train is too small to screen rivals inside it: only one class is left to fit them on")
    return screen


def _passed(outputs: np.ndarray, split: Split, rows: np.ndarray, task: str) -> PassData:
    assert split.y is not None
    clusters = None if split.groups is None else np.unique(split.groups, return_inverse=True)[1][rows]
    make = PassData.of_logits if task == "classification" else PassData.of_values
    return make(outputs, split.y[rows], rows=rows, clusters=clusters)


def _value(metric: Metric, outputs: np.ndarray, y: Any, task: str) -> float:
    make = PassData.of_logits if task == "classification" else PassData.of_values
    value = score(metric, make(outputs, y)).value
    return metric.sign * float("inf") if value is None else value  # unknown is the worst there is
