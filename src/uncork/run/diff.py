"""Is B really better than A, and what would settle it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from uncork.gather._contract import Context
from uncork.gather.fingerprints import hash_rows
from uncork.run import ledger
from uncork.run.identity import answers_key, metric_key, rows_hash, test_rows
from uncork.run.sides import Side, is_tables, of_run, of_subject, of_tables
from uncork.run.verify import on_test
from uncork.schema.artifacts import PassData
from uncork.schema.comparison import Better, Compared, Comparison, Difference
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.report import Report
from uncork.stats.crossed import gain_of_recipes
from uncork.stats.multiplicity import alpha_of_opening, at_level
from uncork.stats.power import detectable, rows_to_settle, seeds_to_settle
from uncork.stats.score import mean_gain, score

ALPHA = 0.05
SAME = "A and B predict the same on every row."


def diff(
    a: Any,
    b: Any,
    *,
    metric: str | Metric | None = None,
    on: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
) -> Comparison:
    """Compares B with A on the same rows, in `metric` (default: the subjects' own; of tables, error).

    `a` and `b`: both tables of predictions, .csv or .parquet ("s1.csv,s2.csv" or a sequence: one for each training
    seed), with the column `label`, `columns` of probabilities and `id` as of an audit's; or each a run folder, its
    Report, a Subject, or its address file.py:name. `on`: "validation" (default) or "test", which is opened for this one
    question and counted in the ledger; tables are taken as they are. Of the recipes something is said where both sides
    have two or more trainings: tables, or the models that an audit's pool trained on all of train. Raises BadInput
    where the rows, labels or classes are not the same; of tables it names the first that differs.
    """
    a, b = (side.folder if isinstance(side, Report) and side.folder else side for side in (a, b))
    chosen = metric if isinstance(metric, Metric) or metric is None else Metric(metric)
    if on not in (None, "validation", "test"):
        raise BadInput(f"on={on!r}: give validation or test")
    tables = [is_tables(side) for side in (a, b)]
    if all(tables):
        if on is not None:
            raise BadInput("tables hold the rows that you chose: leave out on= (--on), which is for runs and subjects")
        if label is None:
            raise BadInput("tables of predictions need label= (--label), the column that holds the true labels")
        chosen = chosen or Metric("error")
        first = of_tables(a, label, columns=columns, id=id, metric=chosen)
        second = of_tables(b, label, columns=columns, id=id, metric=chosen, like=first)
        return compared(first, second, chosen, on="tables")
    if any(tables):
        raise BadInput("one side is a table and the other is not: give two tables, or two runs or subjects")
    for option, given in {"label": label, "columns": columns, "id": id}.items():
        if given is not None:
            raise BadInput(f"{option}= (--{option}) goes with tables of predictions: leave it out")
    stored = on != "test"
    first, second = (
        of_run(str(s)) if stored and _is_folder(s) else of_subject(s, on=on or "validation") for s in (a, b)
    )
    chosen = chosen or _shared_metric(first, second)
    if first.classes != second.classes:
        named = [", ".join(side.classes) or "none, as of a regression" for side in (first, second)]
        raise BadInput(
            f"{first.name} and {second.name} have other classes, or in another order ({named[0]}; {named[1]}): "
            "name the classes in one order with Subject(classes=...)"
        )
    if stored:
        if first.rows != second.rows:
            raise BadInput(
                f"{first.name} and {second.name} have other rows or labels of validation, or in another order: "
                "give both the same Split, or compare tables of predictions"
            )
        return compared(first, second, chosen, on="validation")
    return on_test_rows(first, second, chosen)


def on_test_rows(a: Side, b: Side, metric: Metric) -> Comparison:
    """Opens test for this question and no other; its level depends on how often these rows were asked before."""
    assert a.context is not None
    assert b.context is not None
    rows = test_rows(a.context)
    if rows != test_rows(b.context) or in_order(a.context) != in_order(b.context):
        raise BadInput(
            f"{a.name} and {b.name} have other rows or labels of test, or in another order: give both the same Split"
        )
    _check(metric, a, a.context.facts.task)  # before it is asked, as asking counts
    question = ["diff", metric_key(metric), answers_key(a.context), answers_key(b.context)]
    opening = ledger.open_test(rows, "|".join(question))
    a, b = replace(a, models=(on_test(a.context),)), replace(b, models=(on_test(b.context),))
    return compared(a, b, metric, on="test", opening=opening)


def in_order(context: Context) -> str:
    """What tells one order of test's rows from another; of predictions their ids and labels, as they are no rows."""
    split = context.split("test")
    assert split.y is not None
    if context.model.has_inputs:
        return rows_hash(hash_rows(split, np.dtype(np.float32)), split.y, in_order=True)
    return str([split.ids.tolist(), split.y.tolist()])


def compared(
    a: Side, b: Side, metric: Metric, *, on: Literal["tables", "validation", "test"], opening: int | None = None
) -> Comparison:
    """The comparison of two sides with the same rows, at what the opening may spend."""
    alpha = ALPHA if opening is None else alpha_of_opening(opening, ALPHA)
    _check(metric, a, a.models[0].task)
    scores = [tuple(score(metric, passed) for passed in side.models) for side in (a, b)]
    delta = metric.delta_at(float(np.mean([estimate.value or 0.0 for estimate in scores[0]])))
    differences = [judged("models", at_level(mean_gain(metric, a.models, b.models), 1 - alpha), delta)]
    notes = [*a.notes, *b.notes]
    if min(len(a.trainings), len(b.trainings)) > 1 and metric.kind != "callable":
        of_recipes = gain_of_recipes(metric, a.trainings, b.trainings)
        differences.append(judged("recipes", at_level(of_recipes, 1 - alpha), delta))
    else:
        notes.append(_why_no_recipes(a, b, metric))
    if all(_same(x, y) for x in a.models for y in b.models):
        notes.append(SAME)
    return Comparison(
        a=Compared(a.name, scores[0]),
        b=Compared(b.name, scores[1]),
        metric=metric.name,
        unit=metric.unit,
        delta=delta,
        on=on,
        rows=len(a.models[0]),
        differences=tuple(differences),
        alpha=alpha,
        opening=opening,
        notes=tuple(dict.fromkeys(notes)),
    )


def judged(of: Literal["models", "recipes"], gain: Estimate, delta: float) -> Difference:
    """The verdict, and what would settle the question where it is open."""
    better = verdict(gain)
    negligible = gain.low is not None and gain.high is not None and -delta < gain.low and gain.high < delta
    if better != "can't tell":
        return Difference(of, gain, better, negligible)
    would_settle = rows_to_settle(gain, 0.0, 1), seeds_to_settle(gain, 0.0, 1)
    return Difference(of, gain, better, negligible, detectable(gain, 0.0, 1), *would_settle)


def verdict(gain: Estimate) -> Better:
    """Of B, by whether the interval of what it gains leaves out 0."""
    if gain.low is not None and gain.low > 0:
        return "better"
    return "worse" if gain.high is not None and gain.high < 0 else "can't tell"


def _why_no_recipes(a: Side, b: Side, metric: Metric) -> str:
    if min(len(a.trainings), len(b.trainings)) > 1:
        return f"{metric.name} is a function: of the two ways of training nothing can be said."
    few = " and ".join(letter for letter, side in (("A", a), ("B", b)) if len(side.trainings) < 2)
    return (
        f"This is said of these very models: another training seed may turn it round. To compare the two ways of "
        f"training, it takes two or more seeds of each, and {few} {'have' if ' ' in few else 'has'} fewer: give "
        "several tables, s1.csv,s2.csv, or runs whose audit retrained."
    )


def _shared_metric(a: Side, b: Side) -> Metric:
    """The metric that both name, with A's δ."""
    if metric_key(replace(a.metric, delta=None)) != metric_key(replace(b.metric, delta=None)):
        raise BadInput(
            f"{a.name} is judged by {a.metric.name}, {b.name} by {b.metric.name}: choose one with metric= (--metric)"
        )
    return a.metric


def _check(metric: Metric, side: Side, task: str) -> None:
    if metric.task not in (None, task):
        raise BadInput(
            f"metric {metric.name!r} belongs to {metric.task}, but {side.name} does {task}: "
            f"choose one of {task} with metric= (--metric)"
        )
    if metric.kind == "cost" and len(metric.spec) != len(side.classes):
        raise BadInput(
            f"the cost matrix is for {len(metric.spec)} classes, but {side.name} has {len(side.classes)}: "
            f"give Metric(...) a row and a column for each of {', '.join(side.classes)}"
        )


def _same(a: PassData, b: PassData) -> bool:
    return np.array_equal(a.predicted, b.predicted) and np.array_equal(a.loss, b.loss)


def _is_folder(given: Any) -> bool:
    return isinstance(given, str | Path) and Path(given).is_dir()
