"""What the options of `uncork audit` say of its subject, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uncork.cli.shared import listed
from uncork.schema.errors import BadInput

SPLITS = ("--train", "--validation", "--test", "--shifted", "--unlabelled", "--strangers")
#: Options that name columns, and what they are called inside.
NAMED = {"--target": "target", "--text": "text", "--id": "id", "--group": "groups", "--time": "time"}
OF_MODEL = (*SPLITS, *NAMED, "--columns", "--classes", "--metric", "--pixels", "--trust-pickle")
OF_PREDICTIONS = ("--label", "--train", "--validation", "--columns", "--id", "--metric")

_WAYS = (
    "a subject, path/to/file.py:name; a model's file and its data, --model m.onnx --test b.parquet --target y; or a "
    "table of predictions, --predictions preds.csv --label y"
)


def source_of(
    subject: str | None,
    predictions: str | None,
    model: str | None,
    options: Mapping[str, str | None],
    pool: tuple[str, ...],
) -> dict[str, Any]:
    """What a run remembers of where its subject comes from.

    `options`: by name, None where not given. `pool`: those that the pool takes. Raises BadInput where there
    is not one subject, an option goes with another kind of it, or one is missing.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if sum(way is not None for way in (subject, predictions, model)) != 1:
        raise BadInput(f"give {_WAYS}")
    if subject is not None:
        _only(given, pool, "a Subject says such things itself, in its file")
        return {"kind": "file", "spec": subject}
    if predictions is not None:
        _only(given, OF_PREDICTIONS, "a table of predictions has its labels in the column --label")
        if "--label" not in given:
            raise BadInput("--predictions needs --label, the column that holds the true classes")
        about: dict[str, Any] = {
            "test": predictions,
            "label": given["--label"],
            "metric": given.get("--metric", "error"),
        }
        about |= {name: given.get(f"--{name}") for name in ("validation", "train", "id")}
        return {"kind": "predictions", **about, "columns": listed(given.get("--columns"))}
    _only(given, OF_MODEL, "tables of rows have their labels in the column --target")
    if "--test" not in given:
        raise BadInput("--model needs --test, rows with labels that the model has never seen: a table or a folder")
    if "--text" in given and "--columns" in given:
        raise BadInput("give --text, the one column that the model reads, or --columns, not both")
    splits = {name.removeprefix("--"): str(given[name]) for name in SPLITS if name in given}
    _apart(splits)
    return {
        "kind": "files",
        "model": model,
        "splits": splits,
        "named": {inside: given[name] for name, inside in NAMED.items() if name in given},
        "columns": listed(given.get("--columns")),
        "classes": listed(given.get("--classes")),
        "metric": given.get("--metric"),
        "pixels": given.get("--pixels"),
        "trust_pickle": "--trust-pickle" in given,
    }


def _only(given: Mapping[str, Any], allowed: tuple[str, ...], why: str) -> None:
    for name in given:
        if name not in allowed:
            ways = [way for way, its in (("--predictions", OF_PREDICTIONS), ("--model", OF_MODEL)) if name in its]
            raise BadInput(f"{name} goes with {' or '.join(ways)}: {why}")


def _apart(splits: Mapping[str, str]) -> None:
    """Each split is another file."""
    seen: dict[Path, str] = {}
    for name, path in splits.items():
        place = Path(path).resolve()
        if place in seen:
            raise BadInput(
                f"--{seen[place]} and --{name} are the same, {path}: what a model has seen, or was chosen on, proves "
                "nothing of it; give other rows, or leave one out"
            )
        seen[place] = name
