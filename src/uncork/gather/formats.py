"""Rows of validation in other formats, alone, and in other company.

What it gathers
---------------
What the model answers to the same rows in formats that they could be mistaken for (`uncork.stress.formats`), or the
error by which it refuses them; and how far its answers move when rows are run one at a time, in another order and in
smaller batches, or twice. A copy of the model is run, since what was never meant for it may leave marks on it.

How it streams
--------------
A seeded sample, in batches. Each format gets 128 rows; one that does better on them than the format given is run on up
to 1,000. Stopping the others early can only cost discoveries, never make one.

What it costs
-------------
About twenty forward passes of 128 rows, and 32 rows one at a time.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.models.base import Model, Output
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.formats import Formats, FormatsData
from uncork.schema.seeds import generator
from uncork.stress.formats import Format, formats_of

ALONE = 32
PASSES = 20


def price(request: Formats, context: Context) -> float:
    rows = min(len(context.split("validation")), request.screen)
    return (PASSES * rows + 4 * ALONE) * context.seconds_per_row


class Answer(NamedTuple):
    """What a model says of some rows: decision or value, −1 or NaN where `finite` is False."""

    predicted: np.ndarray
    answered: np.ndarray
    finite: np.ndarray
    outputs: np.ndarray


@gatherer(Formats, price=price)
def gather(request: Formats, context: Context) -> FormatsData:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: other formats need the model itself")
    split = context.split("validation")
    assert split.y is not None
    rng = generator(context.seed, "formats")
    rows = rng.permutation(len(split))[: request.rows]
    places = rng.random(len(rows))
    screen = min(request.screen, len(rows))
    tried = formats_of(split.take(rows[:screen]))
    runner = _Runner(_copied(context.model), context.facts.task, context.batch_size)

    def run(at: np.ndarray, change: Format | None = None) -> Answer:
        def batch(part: np.ndarray) -> Any:
            taken = split.take(rows[part])
            return taken if change is None else change(taken, places[part])

        return runner.answers(at, batch)

    first = np.arange(screen)
    given = run(first)
    cost = _cost(context.facts.task, split.y[rows])
    answers: dict[str, Answer] = {}
    refused: dict[str, str] = {}
    for name, change in tried.items():
        try:
            answers[name] = run(first, change)
        except Exception as error:  # whatever a model does with rows that were not meant for it
            refused[name] = _first_line(error)
    better = [name for name, answer in answers.items() if cost(answer, first) < cost(given, first)]
    if better and len(rows) > screen:
        rest = np.arange(screen, len(rows))
        given = _joined(given, run(rest))
        for name in better:
            answers[name] = _joined(answers[name], run(rest, tried[name]))
    company = {
        "alone": _alone(runner, split, rows[: min(ALONE, screen)], given),
        "shuffled": _shuffled(runner, split, rows[:screen], given, rng),
        "again": runner.moved(given.outputs[:screen], run(first).outputs),
    }
    return _data(context, split, rows[: len(given.predicted)], given, tried, answers, refused, **company)


class _Runner:
    """Runs the model without leaving anything behind on it that one batch settles for those that follow."""

    def __init__(self, model: Model, task: str, batch_size: int) -> None:
        self.model, self.task, self.batch_size = model, task, batch_size

    def answers(self, at: np.ndarray, batch: Callable[[np.ndarray], Any]) -> Answer:
        model, parts = _apart(self.model), []
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of overflows, and of names that columns should have
            for start in range(0, len(at), self.batch_size):
                part = at[start : start + self.batch_size]
                output = model.outputs(batch(part))
                if len(output.logits) != len(part):
                    raise BadInput(f"{len(output.logits)} answers to {len(part)} rows")
                parts.append(self._answer(output))
        return _joined(*parts)

    def _answer(self, output: Output) -> Answer:
        values, n = output.logits, len(output.logits)
        finite = np.isfinite(values).all(axis=1)
        answered = np.ones(n, bool) if output.answered is None else output.answered
        if self.task == "classification":
            predicted = np.where(finite, values.argmax(axis=1), -1).astype(np.int64)
            return Answer(predicted, answered, finite, softmax(values.astype(np.float64), axis=1))
        value = np.where(finite, values[:, 0], np.nan).astype(np.float64)
        return Answer(value, answered, finite, value[:, None])

    def moved(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(n,) how far each row's answer lies from what it was: of probabilities the largest change."""
        spread = 1.0 if self.task == "classification" else float(np.std(before)) or 1.0
        far: np.ndarray = np.nan_to_num(np.abs(after - before), nan=np.inf).max(axis=1, initial=0.0) / spread
        return far.astype(np.float32)


def _alone(runner: _Runner, split: Split, rows: np.ndarray, given: Answer) -> np.ndarray:
    each = _Runner(runner.model, runner.task, batch_size=1)
    answer = each.answers(np.arange(len(rows)), lambda part: split.take(rows[part]))
    return runner.moved(given.outputs[: len(rows)], answer.outputs)


def _shuffled(runner: _Runner, split: Split, rows: np.ndarray, given: Answer, rng: np.random.Generator) -> np.ndarray:
    """In another order, and in batches of a third, so that no row keeps its company."""
    order = rng.permutation(len(rows))
    smaller = _Runner(runner.model, runner.task, batch_size=max(2, -(-len(rows) // 3)))
    outputs = smaller.answers(order, lambda part: split.take(rows[part])).outputs
    back = np.empty_like(outputs)
    back[order] = outputs
    return runner.moved(given.outputs[: len(rows)], back)


def _data(
    context: Context,
    split: Split,
    rows: np.ndarray,
    given: Answer,
    tried: dict[str, Format],
    answers: dict[str, Answer],
    refused: dict[str, str],
    **company: Any,
) -> FormatsData:
    assert split.y is not None
    names, n = tuple(tried), len(rows)
    clusters = np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    empty = np.full((len(names), n), -1 if context.facts.task == "classification" else np.nan, given.predicted.dtype)
    predicted, answered, finite = empty, np.zeros((len(names), n), bool), np.zeros((len(names), n), bool)
    ran = np.zeros(len(names), np.int64)
    for f, name in enumerate(names):
        if name in answers:
            ran[f] = k = len(answers[name].predicted)
            predicted[f, :k], answered[f, :k], finite[f, :k] = answers[name][:3]
    return FormatsData(
        task=context.facts.task,
        names=names,
        refused=tuple(refused.get(name, "") for name in names),
        ran=ran,
        rows=rows,
        y=split.y[rows],
        clusters=clusters[rows].astype(np.int64),
        predicted=given.predicted,
        answered=given.answered,
        predicted_as=predicted,
        answered_as=answered,
        finite=finite,
        **company,
    )


def _cost(task: str, y: np.ndarray) -> Callable[[Answer, np.ndarray], float]:
    """Mean error, or mean square, of an answer to some rows; NaN counts as infinitely wrong."""

    def of(answer: Answer, at: np.ndarray) -> float:
        if task == "classification":
            return float((answer.predicted != y[at]).mean())
        return float(np.nan_to_num((answer.predicted - y[at]) ** 2, nan=np.inf).mean())

    return of


def _joined(*parts: Answer) -> Answer:
    return Answer(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


def _copied(model: Model) -> Model:
    try:
        return copy.deepcopy(model)
    except Exception:  # what holds a session or a lock can't be copied, and is run as it is
        return model


def _apart(model: Any) -> Any:
    """A shallow copy, of the models inside too: an adapter learns from batches how outputs are to be read."""
    own = copy.copy(model)
    for name in ("inner", "fallback", "models"):
        held = getattr(own, name, None)
        if held is not None:
            setattr(own, name, type(held)(map(_apart, held)) if isinstance(held, list | tuple) else _apart(held))
    return own
