"""Options, folders and files that can't be used: a message, exit code 2, and what was there stays as it was."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import HEALTHY, Cli, left_behind

from uncork.planted.faults import FAULTS

pytestmark = pytest.mark.usefixtures("in_this_process")

PROBES = "leaked-examples, miscalibration, overfitting, rare-classes, unguaranteed-errors, wrong-family"
FAST = ("--probes", "overfitting")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def run(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> Path:
    """An audited subject's folder, runs/s."""
    assert cli("audit", subject_file(), "--probes", "overfitting,miscalibration", "-q").code == 0
    return tmp_path / "runs" / "s"


def table(tmp_path: Path, name: str = "p.csv", rows: int = 60, seed: int = 0) -> str:
    p = np.random.default_rng(seed).random(rows).round(3)
    lines = [f"{1 - a:.3f},{a:.3f},{int(a > 0.4)}" for a in p]
    (tmp_path / name).write_text("\n".join(["p_no,p_yes,y", *lines]))
    return name


AUDIT = {
    "no such probe": (
        ["s.py:subject", "--probes", "miscalibration,overfit"],
        "there is no probe 'overfit': choose from",
    ),
    "no probe": (["s.py:subject", "--probes", ""], "no probe is named: choose from"),
    "nothing to audit": (
        [],
        "give a subject, path/to/file.py:name; a model's file and its data, --model m.onnx --test b.parquet --target "
        "y; or a table of predictions, --predictions preds.csv --label y",
    ),
    "two things to audit": (
        ["s.py:subject", "--predictions", "p.csv", "--label", "y"],
        "give a subject, path/to/file.py:name; a model's file and its data, --model m.onnx --test b.parquet --target "
        "y; or a table of predictions, --predictions preds.csv --label y",
    ),
    "predictions without a label": (
        ["--predictions", "p.csv"],
        "--predictions needs --label, the column that holds the true classes",
    ),
    "no such label": (["--predictions", "p.csv", "--label", "z"], "p.csv has no column 'z': it has p_no, p_yes, y"),
    "no such id": (
        ["--predictions", "p.csv", "--label", "y", "--id", "z"],
        "p.csv has no column 'z': it has p_no, p_yes, y",
    ),
    "no such table": (["--predictions", "q.csv", "--label", "y"], "q.csv: there is no such file"),
    "no table": (
        ["--predictions", "s.py", "--label", "y"],
        "s.py: tables are read from .csv and .parquet, not .py",
    ),
    "columns that sum to less": (
        ["--predictions", "p.csv", "--label", "y", "--columns", "p_no,p_no"],
        "p.csv: the probabilities of row 0 sum to 0.726, not 1 (p_no, p_no): name the probability columns with "
        "--columns, or normalise them (softmax of logits)",
    ),
    "an unknown metric": (
        ["--predictions", "p.csv", "--label", "y", "--metric", "f1"],
        "metric 'f1' is not known: use one of accuracy, auc, error, log-loss, mae, rmse",
    ),
    "--label beside a subject": (
        ["s.py:subject", "--label", "y"],
        "--label goes with --predictions: a Subject says such things itself, in its file",
    ),
    "--metric beside a subject": (
        ["s.py:subject", "--metric", "auc"],
        "--metric goes with --predictions or --model: a Subject says such things itself, in its file",
    ),
    **{
        f"budget {text!r}": (
            ["s.py:subject", "--budget", text],
            f"budget {text!r} is no length of time: write it like 90s, 10m or 2h",
        )
        for text in ("soon", "10x", "0", "-5m", "nan", "inf", "", "m")
    },
}


@pytest.mark.parametrize(("arguments", "message"), AUDIT.values(), ids=AUDIT.keys())
def test_audit_refuses(
    arguments: list[str], message: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    subject_file()
    table(tmp_path)
    said = cli("audit", *arguments)
    assert said.message.startswith(f"uncork: {message}")
    assert (said.code, said.out, left_behind(tmp_path)) == (2, "", [])


def test_probes_are_listed_where_one_is_not_known(cli: Cli, subject_file: Callable[..., str]) -> None:
    from uncork.probes._contract import registered

    said = cli("audit", subject_file(), "--probes", "x")
    assert said.message == f"uncork: there is no probe 'x': choose from {', '.join(registered())}"
    assert cli("probes", "x").message == said.message


@pytest.mark.parametrize(
    "arguments", [["adit"], ["audit", "--sed", "1"], ["audit", "a.py:b", "--seed", "x"], ["treat"]]
)
def test_usage(arguments: list[str], cli: Cli) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: ")
    assert "Traceback" not in said.err


def test_a_fault_that_there_is_not(cli: Cli, tmp_path: Path) -> None:
    said = cli("demo", "--plant", "gremlins")
    start = "uncork: there is no fault 'gremlins' to plant: choose from wrong-labels, "
    assert said.message.startswith(start)
    assert said.message.removeprefix(start).split(", ") == [*FAULTS][1:]
    assert (said.code, left_behind(tmp_path)) == (2, [])


# Folders.


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("s.py", "s.py is a file: choose another folder with --out"),
        ("s.py/run", "s.py can't be written (Not a directory): choose another folder with --out"),
        ("/proc/run", "/proc can't be written (No such file or directory): choose another folder with --out"),
    ],
)
def test_an_out_that_cannot_be_written(
    out: str, message: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    said = cli("audit", subject_file(), *FAST, "--out", out, "-q")
    assert (said.code, said.message, left_behind(tmp_path)) == (2, f"uncork: {message}", [])


def test_a_folder_without_permission(
    cli: Cli, subject_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Simulated: root may write anywhere."""
    import uncork.gather.store as store

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(store.tempfile, "mkstemp", refuse)
    said = cli("audit", subject_file(), *FAST, "-q")
    assert said.message == "uncork: runs/s can't be written (Permission denied): choose another folder with --out"
    assert said.code == 2


def test_a_folder_that_is_no_run(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    said = cli("audit", subject_file(), *FAST, "--out", "home", "-q")
    assert (said.code, said.message) == (
        2,
        "uncork: home is not empty and holds no run: choose an empty folder with --out",
    )
    for command in ("treat", "report"):
        said = cli(command, "home")
        assert (said.code, said.message) == (
            2,
            "uncork: home holds no run (no subject.json): give the folder of an audit",
        )
        said = cli(command, "nowhere")
        assert said.message == "uncork: there is no folder nowhere: give the folder of a run, such as runs/demo"
    assert content(tmp_path / "home") == {"letter.txt": b"dear"}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("net.weight.data += 1\nsubject = Subject(net, test=test, train=train)", "model differs"),
        ("subject = Subject(net, test=Split(x[:290], y[:290]), train=train)", "validation, test differ"),
        ("subject = Subject(net, test=test)", "train differs"),
        ("subject = Subject(net, test=test, train=train, metric='log-loss')", "metric differs"),
        (
            "subject = Subject(net, test=test, train=train, recipe=Recipe(build, epochs=1), preprocess=lambda x: x)",
            "model, recipe, preprocess differ",
        ),
    ],
)
def test_the_run_of_another_subject(
    body: str, what: str, run: Path, cli: Cli, subject_file: Callable[..., str]
) -> None:
    before = content(run)
    subject_file(body)
    message = (
        f"uncork: runs/s holds the run of another subject ({what}): audit this one into a folder of its own with "
        "--out, or delete runs/s"
    )
    for said in (cli("audit", "s.py:subject", *FAST, "-q"), cli("treat", "runs/s", "-q")):
        assert (said.code, said.message) == (2, message)
    assert content(run) == before


def test_a_described_run(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    spec = subject_file()
    assert cli("audit", spec, *FAST, "-q", "--describe-only").code == 0
    before = content(tmp_path / "runs")
    said = cli("treat", "runs/s")
    assert (said.code, said.message) == (
        2,
        "uncork: runs/s was described on all of test, so nothing is left to prove a remedy on: audit again without "
        "--describe-only, into another folder with --out",
    )
    said = cli("audit", spec, *FAST, "-q")
    assert said.message == "uncork: runs/s holds a run with --describe-only: choose another folder with --out"
    assert content(tmp_path / "runs") == before


def test_a_run_made_from_python_objects(cli: Cli, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    import uncork

    x = np.random.default_rng(0).normal(size=(200, 3))
    y = (x[:, 0] > 0).astype(int)
    subject = uncork.Subject(LogisticRegression().fit(x, y), test=uncork.Split(x, y))
    uncork.audit(subject, out="made", probes=["miscalibration"])
    said = cli("treat", "made")
    assert (said.code, said.message) == (
        2,
        "uncork: made was made from Python objects: treat it from Python, uncork.treat(report), or "
        "uncork.treat('made', subject=...)",
    )
    with pytest.raises(uncork.BadInput, match=r"made was made from Python objects: .*treat\('made'"):
        uncork.treat("made")


# Files of a run that something has damaged.


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"{", "runs/s/subject.json is damaged (Expecting property name"),
        (b"\xff\xfe", "runs/s/subject.json is damaged ('utf-8' codec can't decode"),
        (b"[]", "runs/s/subject.json is damaged (it says nothing of fingerprints): audit again into another folder"),
        (
            b'{"fingerprints": {}}',
            "runs/s/subject.json is damaged (it says nothing of source): audit again into another folder with --out",
        ),
    ],
)
def test_a_damaged_subject_json(damage: bytes, message: str, run: Path, cli: Cli) -> None:
    (run / "subject.json").write_bytes(damage)
    before = content(run)
    for command in (["audit", "s.py:subject", *FAST, "-q"], ["treat", "runs/s"], ["report", "runs/s"]):
        said = cli(*command)
        assert said.message.startswith(f"uncork: {message}")
        assert said.code == 2
    assert content(run) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b'{"schema_version"', "runs/s/report.json is not JSON ("),
        (b"\xff\xfe", "runs/s/report.json is not JSON ("),
        (b"[]", "runs/s/report.json has schema_version None; this uncork reads 1"),
        (b'{"schema_version": 1}', "runs/s/report.json: subject: "),
        (None, "runs/s holds no report.json: its audit was stopped; give it again to finish it"),
    ],
)
def test_a_damaged_report_json(damage: bytes | None, message: str, run: Path, cli: Cli) -> None:
    whole = json.loads((run / "report.json").read_text())
    (run / "report.json").unlink()
    if damage is not None:
        (run / "report.json").write_bytes(damage)
    before = content(run)
    for command in (["treat", "runs/s"], ["report", "runs/s"]):
        said = cli(*command)
        assert said.message.startswith(f"uncork: {message}")
        assert said.code == 2
    assert content(run) == before
    # The way out works: the audit given again writes it anew.
    assert cli("audit", "s.py:subject", "--probes", "overfitting,miscalibration", "-q").code == 0
    assert json.loads((run / "report.json").read_text())["headline"] == whole["headline"]


def test_a_damaged_plan_json_is_written_anew(run: Path, cli: Cli) -> None:
    (run / "plan.json").write_text("{")
    assert cli("audit", "s.py:subject", *FAST, "-q").code == 0
    assert json.loads((run / "plan.json").read_text())["budget_seconds"] == 600


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_artifact_is_gathered_again(damage: str, run: Path, cli: Cli) -> None:
    (whole,) = [p for p in (run / "artifacts").glob("pass-*") if len(p.read_bytes()) == _largest(run)][:1]
    raw = whole.read_bytes()
    broken = {"cut": raw[:-9], "flipped": raw[:-1] + bytes([raw[-1] ^ 1]), "emptied": b""}[damage]
    whole.write_bytes(broken)
    assert cli("audit", "s.py:subject", "--probes", "overfitting,miscalibration", "-q").code == 0
    assert whole.read_bytes() == raw
    assert whole.with_suffix(".damaged").read_bytes() == broken


def _largest(run: Path) -> int:
    return max(p.stat().st_size for p in (run / "artifacts").glob("pass-*"))


# What treat is given.


def test_remedies_that_cannot_be_tried(run: Path, cli: Cli) -> None:
    from uncork.remedies._contract import remedies

    said = cli("treat", "runs/s", "--remedies", "prayer")
    assert said.message == f"uncork: there is no remedy 'prayer': choose from {', '.join(remedies())}"
    said = cli("treat", "runs/s", "--remedies", "deduplicate")
    assert said.message == (
        "uncork: deduplicate mends no finding of this report: its probe was left out or is not applicable"
    )
    assert cli("treat", "runs/s", "--drop", "ids.csv").message == "uncork: ids.csv: there is no such file"
    assert cli("treat", "runs/s", "--budget", "x").message.startswith("uncork: budget 'x' is no length of time")


def test_rows_to_drop_that_there_are_not(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    body = "subject = Subject(net, test=test, train=train, recipe=Recipe(build, epochs=1))"
    assert cli("audit", subject_file(body), *FAST, "-q").code == 0
    (tmp_path / "ids.csv").write_text("id\n3\n4711\n")
    before = content(tmp_path / "runs" / "s")
    said = cli("treat", "runs/s", "--remedies", "drop-examples", "--drop", "ids.csv", "-q")
    assert (said.code, said.message) == (
        2,
        "uncork: the list of rows to drop holds '4711', which is no id of train: ids look like '0' (positions from 0 "
        "where the split has no ids of its own)",
    )
    (tmp_path / "oof.csv").write_text("a,b\n0.5,0.5\n")
    said = cli("treat", "runs/s", "--remedies", "drop-examples", "--out-of-fold", "oof.csv", "-q")
    assert said.message == (
        "uncork: out_of_fold has shape (1, 2): give one probability per row of train and class, (100, 2)"
    )
    assert content(tmp_path / "runs" / "s") == before


def test_a_state_folder_that_cannot_be_written(
    cli: Cli, subject_file: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = HEALTHY.replace("subject", "net.weight.data = torch.tensor([[-9.0, 0, 0, 0], [9, 0, 0, 0]])\nsubject")
    assert cli("audit", subject_file(net), "--probes", "miscalibration", "-q").code == 0
    monkeypatch.setenv("UNCORK_STATE", str(tmp_path / "s.py" / "state"))
    before = content(tmp_path / "runs" / "s")
    said = cli("treat", "runs/s", "--remedies", "temperature", "-q")
    assert said.code == 2
    assert said.message.endswith(
        "s.py/state can't be written (Not a directory): set UNCORK_STATE to a folder that can be, for the record of "
        "openings of test"
    )
    assert content(tmp_path / "runs" / "s") == before
