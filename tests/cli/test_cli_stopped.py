"""Stopped at any moment (Ctrl-C, kill -9, a full disk), the same command goes on and gathers nothing twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cli_helpers import HEALTHY, Cli

FULL = "Free some room and give the same command again: what is gathered is kept"

#: While a file "hang" lies in the folder, the model hangs on row 5 of test.
HANGING = """
import os, time

class Hanging(nn.Linear):
    def forward(self, x):
        while (x[:, 3] > 50).any() and os.path.exists("hang"):
            time.sleep(0.01)
        return super().forward(x)

x[5, 3] = 99
subject = Subject(Hanging(4, 2), test=Split(x[:300], y[:300]), validation=train, train=Split(x[300:] + 1, y[300:]))
torch.nn.init.ones_(subject.model.weight); torch.nn.init.zeros_(subject.model.bias)
"""
COMMAND = ["audit", "s.py:subject", "--probes", "overfitting,miscalibration"]


def artifacts(tmp_path: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (tmp_path / "runs" / "s" / "artifacts").iterdir()}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, id="kill -9"),
    ],
)
def test_stopped_and_given_again(
    number: signal.Signals, code: int, cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    subject_file(HANGING)
    (tmp_path / "hang").touch()
    uncork = str(Path(sys.executable).parent / "uncork")
    # Started in the background, a shell has its children ignore Ctrl-C, and they would hang here.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [uncork, *COMMAND], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    ) as process:
        assert process.stderr is not None
        said = ""
        while "outputs on test" not in said:
            line = process.stderr.readline()
            assert line, f"it stopped by itself: {said}"
            said += line
        time.sleep(0.2)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code
    if number == signal.SIGINT:
        assert rest == "stopped: give the same command again to go on from here\n"
    run = tmp_path / "runs" / "s"
    assert not (run / "report.json").exists()
    assert cli("report", "runs/s").message.endswith("its audit was stopped; give it again to finish it")
    before = artifacts(tmp_path)
    kinds = sorted(name.split("-")[0] for name in before)
    assert kinds == ["fingerprints", "pass", "pass", "profile"]

    (tmp_path / "hang").unlink()
    assert cli(*COMMAND, "-q").code == 0
    after = artifacts(tmp_path)
    del after[next(name for name in after if name.startswith("fingerprints"))]  # computed first, for identity
    kept = {name: changed for name, changed in before.items() if not name.startswith("fingerprints")}
    assert len(after) == 4  # the outputs on test are new
    assert {name: changed for name, changed in after.items() if name in kept} == kept
    assert json.loads((run / "report.json").read_text())["headline"]["n"] == 300


def figures(tmp_path: Path) -> dict[str, object]:
    content = json.loads((tmp_path / "runs" / "s" / "report.json").read_text())
    return {"headline": content["headline"], "estimates": [f["estimates"] for f in content["findings"]]}


def test_a_full_disk_at_every_write(
    cli: Cli, subject_file: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject_file(HEALTHY)
    fsync, room = os.fsync, [0]

    def out_of_room(handle: int) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", out_of_room)
    codes, written = [], 0
    for writes in range(30):
        # Each call has room for one write more than what is there, and so goes one step further.
        room[0] = writes
        said = cli(*COMMAND, "-q")
        codes.append(said.code)
        if said.code == 0:
            break
        assert said.code == 2
        assert said.message.startswith("uncork: the disk is full: ")
        assert said.message.endswith(FULL)
        files = [p for p in (tmp_path / "runs").rglob("*") if p.is_file()]
        assert not [p for p in files if p.name.startswith(".")], "nothing half-written"
        gathered = len([p for p in files if p.suffix == ".safetensors"])
        assert gathered >= written, "what is gathered is kept"
        written = gathered
    assert len(codes) > 5
    assert codes[-1] == 0
    resumed = figures(tmp_path)
    room[0] = 1000
    assert cli(*COMMAND, "-q", "--out", "runs/other").code == 0
    (tmp_path / "runs" / "s").rename(tmp_path / "runs" / "first")
    (tmp_path / "runs" / "other").rename(tmp_path / "runs" / "s")
    assert figures(tmp_path) == resumed


def test_a_disk_that_is_really_full(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(small)]
    try:
        if subprocess.run(mounted, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a small disk")
    except FileNotFoundError:
        pytest.skip("there is no mount")
    try:
        subject_file(HEALTHY)
        said = cli(*COMMAND, "--out", "small/run", "-q")
        assert (said.code, said.message.endswith(FULL)) == (2, True)
        subprocess.run(["mount", "-o", "remount,size=2m", str(small)], check=True)
        assert cli(*COMMAND, "--out", "small/run", "-q").code == 0
    finally:
        subprocess.run(["umount", str(small)], check=False)


def test_a_full_disk_while_the_opening_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from uncork.run import ledger
    from uncork.schema.errors import DiskFull

    assert ledger.open_test("rows", "first") == 1
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    with pytest.raises(DiskFull, match=r"the disk is full: openings.jsonl could not be written"):
        ledger.open_test("rows", "second")
    monkeypatch.undo()
    monkeypatch.setenv("UNCORK_STATE", str(tmp_path / "state"))
    assert ledger.path().read_text().count("\n") == 1
    assert ledger.open_test("rows", "second") == 2


@pytest.mark.parametrize("left", [[], [".subject.json.k3j2"]])
def test_killed_before_anything_was_whole(
    left: list[str], cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    subject_file(HEALTHY)
    (tmp_path / "runs" / "s").mkdir(parents=True)
    for name in left:
        (tmp_path / "runs" / "s" / name).write_text("{")
    assert cli(*COMMAND, "-q").code == 0


def test_stopped_in_python_keeps_the_spinner_from_spinning_on() -> None:
    from uncork.run.progress import working

    told: list[str] = []

    class Told:
        def begin(self, label: str, left: float) -> None:
            told.append(f"begin {label}")

        def end(self, label: str, seconds: float) -> None:
            told.append(f"end {label}")

    with pytest.raises(KeyboardInterrupt), working(Told(), "work", 1.0):
        raise KeyboardInterrupt
    assert told == ["begin work", "end work"]
