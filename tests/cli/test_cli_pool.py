"""`uncork audit --pool`: off, or a table of out-of-fold predictions; `--preview`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from cli_helpers import Cli, left_behind
from pyarrow import csv

pytestmark = pytest.mark.usefixtures("in_this_process")


def table(path: Path, **columns: Any) -> str:
    """Out-of-fold probabilities of the 100 rows of train in the subject file."""
    p = np.random.default_rng(0).random(100)
    known = {"p_0": 1 - p, "p_1": p, "fold": np.arange(100) % 4, "id": np.arange(100), **columns}
    csv.write_csv(pyarrow.table({name: c for name, c in known.items() if c is not None}), path / "oof.csv")
    return "oof.csv"


def findings(folder: str) -> dict[str, Any]:
    return {f["id"]: f for f in json.loads(Path(folder, "report.json").read_text())["findings"]}


def test_a_table_answers_wrong_labels(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    said = cli(
        "audit", subject_file(), "--pool", table(tmp_path), "--out", "run", "--probes", "wrong-labels,split-shift"
    )
    assert said.code == 0, said.err
    found = findings("run")
    assert "the out-of-fold predictions that were brought, 1 for each row (4 folds)" in found["wrong-labels"]["summary"]
    assert "only predictions were brought" in found["split-shift"]["summary"]


def test_columns_are_named(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    p, order = np.random.default_rng(0).random(100), np.random.default_rng(1).permutation(100)
    table(tmp_path, p_0=None, p_1=None, a=1 - p, b=p, noise=p, fold=None, part=np.arange(100) % 3, id=order)
    options = ["--pool", "oof.csv", "--fold", "part", "--columns", "a,b", "--id", "id", "--probes", "wrong-labels"]
    said = cli("audit", subject_file(), "--out", "run", *options)
    assert said.code == 0, said.err
    assert "(3 folds)" in findings("run")["wrong-labels"]["summary"]


def test_tables_all_the_way(cli: Cli, tmp_path: Path) -> None:
    """No model: predictions of the splits, and out-of-fold predictions of train."""
    rng = np.random.default_rng(0)
    for name in ("test", "train"):
        p = rng.random(100)
        csv.write_csv(pyarrow.table({"p_0": 1 - p, "p_1": p, "y": (p > 0.5).astype(int)}), tmp_path / f"{name}.csv")
    options = ["--predictions", "test.csv", "--label", "y", "--train", "train.csv", "--pool", table(tmp_path, id=None)]
    said = cli("audit", *options, "--out", "run", "--probes", "wrong-labels")
    assert said.code == 0, said.err
    assert findings("run")["wrong-labels"]["verdict"] != "not-applicable"


@pytest.mark.slow
def test_off_and_preview(cli: Cli, subject_file: Callable[..., str]) -> None:
    assert cli("audit", subject_file(), "--pool", "off", "--preview", "--out", "run").code == 0
    found = findings("run")
    assert found["membership-leakage"]["reason"].startswith("it was switched off")
    assert cli("audit", subject_file(), "--pool", "off", "--out", "other").code == 0
    assert "membership-leakage" not in findings("other")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--pool", "on"], "--pool on: give auto, head, off, or a table, .csv or .parquet"),
        (["--pool", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--pool", "oof.csv", "--fold", "part"], "oof.csv has no column 'part'"),
        (["--fold", "part"], "--fold goes with --pool TABLE"),
        (["--id", "id"], "--id goes with --predictions"),
        (["--pool", "oof.csv", "--id", "fold"], "hold the id '0' twice"),
    ],
)
def test_bad_use(cli: Cli, subject_file: Callable[..., str], tmp_path: Path, options: list[str], why: str) -> None:
    table(tmp_path)
    said = cli("audit", subject_file(), "--out", "run", *options)
    assert said.code == 2
    assert why in said.message
    assert left_behind(tmp_path) == []


def test_head(cli: Cli, subject_file: Callable[..., str]) -> None:
    """A net of one layer has no encoder that could have been fitted; a model without a recipe is withheld."""
    body = "subject = Subject(net, test=test, train=train, recipe=Recipe(build, epochs=2))\n"
    for name, given in (("with.py", body), ("without.py", "subject = Subject(net, test=test, train=train)\n")):
        options = ["--pool", "head", "--probes", "wrong-labels", "--out", name[:-3]]
        assert cli("audit", subject_file(given, name), *options).code == 0
    assert findings("with")["wrong-labels"]["estimates"]
    assert findings("without")["wrong-labels"]["reason"].startswith("no recipe was given")
