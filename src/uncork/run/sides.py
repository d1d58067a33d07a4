"""What can be compared: tables of predictions, run folders, and subjects, each as one side of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.data.tables import missing_column, predictions_split, read_table
from uncork.gather._contract import Context, gatherers
from uncork.gather._members import Member
from uncork.gather.forward import forward
from uncork.gather.store import Store
from uncork.models.predictions import PredictionsModel
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import identity
from uncork.run.source import load_subject, subject_of
from uncork.schema.artifacts import Fingerprints, Pass, PassData
from uncork.schema.errors import BadInput
from uncork.schema.metric import Metric
from uncork.schema.report import Report
from uncork.schema.subject import Subject

TABLES = (".csv", ".parquet")
_SUFFIXES = " or ".join(TABLES)
KNOWN_BY_LABELS = "Runs of predictions hold no rows: these are taken as the same because their labels are, in order."


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two that are compared, on the rows that both must have.

    `models`: the outputs of the models at hand. `trainings`: those of models trained from several seeds, empty where
    there are none. `rows`: what the rows and labels are known by, in order; "" of tables. `ids`: (n,) of a table.
    `context`: where the model itself is there.
    """

    name: str
    models: tuple[PassData, ...]
    trainings: tuple[PassData, ...]
    classes: tuple[str, ...]
    metric: Metric
    rows: str = ""
    ids: np.ndarray | None = None
    context: Context | None = None
    notes: tuple[str, ...] = ()


def is_tables(given: Any) -> bool:
    """Whether a side is given as one or several tables."""
    return all(Path(path).suffix in TABLES for path in paths(given))


def paths(given: Any) -> list[str]:
    """The paths of a side: `a.csv,b.csv`, one path, or a sequence of them; none of what is no path."""
    if isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()] or [""]
    if isinstance(given, Path):
        return [str(given)]
    many = isinstance(given, Sequence) and given and all(isinstance(part, str | Path) for part in given)
    return [str(part) for part in given] if many else [""]


def of_tables(
    given: Any, label: str, *, columns: Sequence[str] | None, id: str | None, metric: Metric, like: Side | None = None
) -> Side:
    """Tables of the same rows, one for each training seed; matched by id to `like`'s (else the first's) rows.

    Raises BadInput where a row is missing or has another label.
    """
    passes: list[PassData] = []
    first = like
    for path in paths(given):
        split, classes = _read(path, label, columns, id, metric)
        if first is not None:
            split = _matched(split, classes, path, first)
        model = PredictionsModel(metric.task or "classification", max(1, len(classes)))
        passes.append(forward(model, split, name=path))
        if first is None:
            ids = split.ids if split.has_ids else None
            first = Side(path, tuple(passes), (), classes, metric, ids=ids)
    assert first is not None
    name = ", ".join(paths(given))
    several = tuple(passes) if len(passes) > 1 else ()
    return replace(first, name=name, models=tuple(passes), trainings=several)


def _read(
    path: str, label: str, columns: Sequence[str] | None, id: str | None, metric: Metric
) -> tuple[Split, tuple[str, ...]]:
    if metric.task != "regression":
        split, classes = predictions_split(path, label, columns=columns, id=id)
        assert split.y is not None
        return split, classes
    if columns is None or len(columns) != 1:
        raise BadInput(
            f"{path}: metric {metric.name!r} needs the one column of predicted values: "
            "name it with columns= (--columns)"
        )
    table = read_table(path)
    for name in (label, columns[0], *([id] if id else [])):
        if name not in table.column_names:
            raise missing_column(path, name, table.column_names)
    values = [table.column(name).to_numpy() for name in (columns[0], label)]
    for name, column in zip((columns[0], label), values, strict=True):
        if column.dtype.kind not in "iuf" or not np.isfinite(column).all():
            raise BadInput(f"{path}: column {name!r} holds what is no number, or none: leave such rows out")
    return Split(*values, ids=None if id is None else table.column(id).to_numpy()), ()


def _matched(split: Split, classes: tuple[str, ...], path: str, first: Side) -> Split:
    """The split in the order of `first`'s rows."""
    y = first.models[0].y
    if classes != first.classes:
        raise BadInput(
            f"{path} has the classes {', '.join(classes)}, but {first.name} has {', '.join(first.classes)}: "
            "name the columns of probabilities in one order with columns= (--columns)"
        )
    if first.ids is not None:
        split = split.subset(_positions(split.ids, first.ids, path, first.name))
    elif len(split) != len(y):
        raise BadInput(
            f"{path} has {len(split)} rows, {first.name} has {len(y)}: "
            "give the same rows, or match them with id= (--id)"
        )
    assert split.y is not None
    differs = np.flatnonzero(split.y != y)
    if len(differs):
        row = differs[0]
        shown = [classes[int(label)] if classes else f"{label:g}" for label in (split.y[row], y[row])]
        where = f"row {row}" if first.ids is None else f"the row with id {first.ids[row]}"
        raise BadInput(
            f"{path}: {where} has the label {shown[0]}, but {shown[1]} in {first.name} ({len(differs)} rows differ): "
            "give predictions of the same rows, in the same order or matched with id= (--id)"
        )
    return split


def _positions(ids: np.ndarray, wanted: np.ndarray, path: str, first: str) -> np.ndarray:
    """Where in `ids` each of `wanted` stands."""
    for names, place in ((wanted, first), (ids, path)):
        unique, times = np.unique(names, return_counts=True)
        if len(unique) < len(names):
            raise BadInput(f"{place}: id {unique[times > 1][0]} stands in more than one row: ids must tell rows apart")
    for names, others, there, missing in ((ids, wanted, path, first), (wanted, ids, first, path)):
        lone = names[~np.isin(names, others)]
        if len(lone):
            raise BadInput(f"id {lone[0]} of {there} is not in {missing} ({len(lone)} such rows): give the same rows")
    order = np.argsort(ids)
    positions: np.ndarray = order[np.searchsorted(ids, wanted, sorter=order)]
    return positions


def of_run(path: str) -> Side:
    """A run's stored outputs on validation, and those of its models of all of train. Raises BadInput without them."""
    folder = RunFolder.at(path)
    report, about = folder.load(), folder.about()
    fingerprints = about["fingerprints"]
    if "test" not in fingerprints:
        raise BadInput(f"{path} describes all of test and has no validation: compare tables of predictions instead")
    store = folder.store(about)
    passed = next((p for f in (True, False) if (p := store.get(Pass("validation", features=f))) is not None), None)
    if passed is None:
        raise BadInput(f"{path} holds no outputs on validation: audit it again, which gathers them")
    # In sorted order labels would be those of any rows.
    by_labels = bool(report.subject.get("predictions_only")) and bool((np.diff(passed.y) < 0).any())
    return Side(
        path,
        (passed,),
        _trainings(store, passed),
        tuple(report.subject["classes"]),
        _metric(report, path),
        str(passed.y.tolist()) if by_labels else fingerprints["validation"],
        notes=(KNOWN_BY_LABELS,) if by_labels else (),
    )


def _trainings(store: Store, passed: PassData) -> tuple[PassData, ...]:
    """A run's models of all of train, by the recipe from seeds of their own; those that diverged left out."""
    found: list[PassData] = []
    seed = 0
    while (data := store.get(Member(1, seed, 0))) is not None:
        seed += 1
        if not data.failed:
            outputs, known = data.on_validation, {"clusters": passed.clusters}
            if passed.task == "classification":
                found.append(PassData.of_logits(outputs, passed.y, **known))
            else:
                found.append(PassData.of_values(outputs[:, 0], passed.y, **known))
    return tuple(found)


def _metric(report: Report, path: str) -> Metric:
    about = report.subject["metric"]
    try:
        return Metric(about["spec"], delta=about["delta"])
    except BadInput:
        raise BadInput(
            f"{path} was judged by {about['name']}, a function: name a metric with metric= (--metric)"
        ) from None


def of_subject(given: Any, *, on: str) -> Side:
    """A subject's outputs on validation; with `on` "test" its context alone, since test is opened later.

    `given`: a Subject, file.py:name or, with `on` "test", a run folder, whose subject is loaded again.
    """
    subject, name = given, getattr(given, "name", None) or "subject"
    if not isinstance(given, Subject):
        name = str(given)
        if Path(given).is_dir():
            subject = subject_of(RunFolder.at(given).about()["source"], given)
        elif ":" in name:
            subject = load_subject(name)
        else:
            raise BadInput(
                f"there is no folder {name}: give a run folder, path/to/file.py:name, or a table {_SUFFIXES}"
            )
    admitted = admit(subject, describe_only=False, seed=0, fan=Executor())
    context = admitted.context
    side = Side(name, (), (), context.facts.classes, context.facts.metric, context=context, notes=admitted.notes)
    if on == "test":
        return side
    prints = gatherers()[Fingerprints].gather(Fingerprints(), context)
    rows = identity(context, prints, {}, describe_only=False)["fingerprints"]["validation"]
    passed = forward(context.model, context.split("validation"), batch_size=context.batch_size, name="validation")
    return replace(side, models=(passed,), rows=rows)
