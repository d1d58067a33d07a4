"""`uncork audit --relabelled`: random rows that were labelled anew, brought to a run that is there."""

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

TRAIN = 400

#: A tenth of train's labels are wrong.
FLIPPED = """
x = rng.normal(size=(1000, 4)).astype("float32")
clean = (x[:, 0] > 0).astype("int64")
y = clean.copy()
y[:40] = 1 - y[:40]
names = [f"row-{i}" for i in range(400)]
subject = Subject(net, test=Split(x[400:], y[400:]), train=Split(x[:400], y[:400], ids=names), classes=["no", "yes"])
"""


def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    rng.normal(size=(400, 4)), rng.normal(size=400)  # what the prelude draws
    return rng.normal(size=(1000, 4)).astype(np.float32)[:TRAIN, 0] > 0


def folds(path: Path) -> None:
    p = np.where(truth(), 0.9, 0.1)
    table = {"p_no": 1 - p, "p_yes": p, "fold": np.arange(TRAIN) % 4}
    csv.write_csv(pyarrow.table(table), path / "oof.csv")


def found(folder: str) -> dict[str, Any]:
    (finding,) = json.loads(Path(folder, "report.json").read_text())["findings"]
    assert isinstance(finding, dict)
    return finding


def test_the_list_is_labelled_and_brought_back(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    folds(tmp_path)
    command = ["audit", subject_file(FLIPPED), "--pool", "oof.csv", "--probes", "wrong-labels", "--out", "run"]
    assert cli(*command).code == 0
    first = found("run")
    stored = {p: p.stat().st_mtime_ns for p in Path("run/artifacts").iterdir() if not p.name.startswith("finger")}
    (asked,) = (d["data"] for d in first["details"] if d["title"] == "Rows to relabel")
    ids = [id for (id,) in asked["rows"]][:120]
    labels = [["no", "yes"][int(truth()[int(id.removeprefix("row-"))])] for id in ids]
    csv.write_csv(pyarrow.table({"id": ids, "label": labels}), tmp_path / "anew.csv")

    # In the same folder: nothing is gathered again.
    said = cli(*command, "--relabelled", "anew.csv")
    assert said.code == 0, said.err
    second = found("run")
    share = second["estimates"].pop("noise_by_relabelling")
    assert share["n"] == 120
    assert share["low"] <= 0.1 <= share["high"]
    assert second["estimates"] == first["estimates"]
    assert "By the 120 rows labelled anew" in second["summary"]
    assert {p: p.stat().st_mtime_ns for p in stored} == stored
    about = json.loads(Path("run/subject.json").read_text())
    assert about["relabelled"]

    # A treatment keeps what the run is of.
    cli("treat", "run", "--remedies", "temperature", "-q")
    assert json.loads(Path("run/subject.json").read_text())["relabelled"] == about["relabelled"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ({"id": ["row-1"] * 1, "label": ["no"]}, "anew.csv holds 1 rows: label 30 or more anew"),
        ({"id": [f"row-{i}" for i in range(400, 440)], "label": ["no"] * 40}, "'row-400', which is no id of train"),
        ({"id": [f"row-{i}" for i in range(40)], "label": ["maybe"] * 40}, "holds 'maybe' in row 0"),
    ],
)
def test_bad_use(rows: dict[str, Any], why: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    folds(tmp_path)
    csv.write_csv(pyarrow.table(rows), tmp_path / "anew.csv")
    said = cli("audit", subject_file(FLIPPED), "--pool", "oof.csv", "--relabelled", "anew.csv", "--out", "run")
    assert said.code == 2
    assert why in said.message
    assert left_behind(tmp_path) == []


SHIFTED = """
x = rng.normal(size=(1000, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int64")
names = [f"s{i}" for i in range(400)]
subject = Subject(net, test=Split(x[400:], y[400:]), shifted=Split(x[:400], ids=names), classes=["no", "yes"])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_labels_of_shifted_rows_on_a_budget(cli: Cli, subject_file: Callable[..., str]) -> None:
    """40 rows are named; the table, filled in, is brought to the same run; a table that isn't there leaves nothing."""
    command = ["audit", subject_file(SHIFTED), "--probes", "domain-shift", "--out", "run"]
    assert cli(*command, "--labels", "40").code == 0
    asked = [line.split(",")[0] for line in Path("run/to_label.csv").read_text().splitlines()[1:]]
    assert (len(set(asked)), found("run")["verdict"]) == (40, "undetermined")
    rows = [f"{id},{['no', 'yes'][int(truth()[int(id[1:])])]}" for id in asked]
    Path("filled.csv").write_text("\n".join(["id,label", *rows]))
    said = cli(*command, "--labels", "filled.csv")
    assert said.code == 0, said.err
    assert "by 40 labels" in found("run")["summary"]
    refused = cli("audit", command[1], "--labels", "nowhere.csv", "--out", "none")
    assert (refused.code, Path("none").exists()) == (2, False)
    assert "nowhere.csv: there is no such file" in refused.err
