"""`uncork treat --labels`: the table that an audit wrote, corrected and given back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from cli_helpers import Cli
from pyarrow import csv

from uncork.run.executor import Executor

TRAIN, WRONG = 100, 20

#: A fifth of train's labels are wrong.
FLIPPED = """
clean = (x[:, 0] > 0).astype("int64")
y = clean.copy()
y[300:320] = 1 - y[300:320]
train = Split(x[300:], y[300:], ids=[f"row-{i}" for i in range(100)])
subject = Subject(net, test=Split(x[:300], y[:300]), train=train, classes=["no", "yes"], recipe=Recipe(build, epochs=1))
"""


@pytest.fixture
def audited(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    """A run, with out-of-fold predictions that know the true labels."""
    positive = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)[300:, 0] > 0  # what the prelude draws
    p = np.where(positive, 0.9, 0.1)
    csv.write_csv(pyarrow.table({"p_no": 1 - p, "p_yes": p, "fold": np.arange(TRAIN) % 4}), tmp_path / "oof.csv")
    said = cli("audit", subject_file(FLIPPED), "--pool", "oof.csv", "--probes", "wrong-labels", "--out", "run", "-q")
    assert said.code == 0, said.err


def relabel(folder: str = "run") -> dict[str, Any]:
    (found,) = json.loads(Path(folder, "report.json").read_text())["treatments"]
    assert found["remedy"] == "relabel"
    return dict(found)


@pytest.mark.usefixtures("audited")
def test_what_the_audit_wrote_is_taken(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process: starting others takes longer than all the rest.
    monkeypatch.setattr(Executor, "each", lambda self, function, jobs: (function(*job) for job in jobs))
    table = csv.read_csv("run/relabel.csv")
    assert sorted(table["id"].to_pylist()) == sorted(f"row-{i}" for i in range(WRONG))
    # Looked at: five of the rows keep the label that they have.
    label = table["given"].to_pylist()[:5] + table["label"].to_pylist()[5:]
    csv.write_csv(pyarrow.table({"id": table["id"], "label": label}), "corrected.csv")
    said = cli("treat", "run", "--labels", "corrected.csv", "--remedies", "relabel", "-q")
    assert said.code == 0, said.err
    assert "15 rows (15.0 %) of train labelled anew, as given" in relabel()["changes"]


@pytest.mark.usefixtures("audited")
def test_a_table_that_does_not_fit(cli: Cli) -> None:
    for rows, why in (
        ({"id": ["row-1"], "class": ["no"]}, "bad.csv has no column 'label': it has id, class"),
        ({"row": ["row-1"], "label": ["no"]}, "bad.csv has no column 'id': it has row, label"),
        ({"id": ["row-1", "row-100"], "label": ["no", "no"]}, "holds 'row-100', which is no id of train"),
        ({"id": ["row-1"], "label": ["maybe"]}, "holds 'maybe' in row 0, but the classes are 'no', 'yes'"),
    ):
        csv.write_csv(pyarrow.table(rows), "bad.csv")
        said = cli("treat", "run", "--labels", "bad.csv", "-q")
        assert said.code == 2
        assert why in said.message
    said = cli("treat", "run", "--labels", "nowhere.csv")
    assert said.code == 2
    assert "nowhere.csv: there is no such file" in said.message
    assert not json.loads(Path("run/report.json").read_text())["treatments"]
