"""Every command: its help, and what it does when all is well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Cli
from safetensors.torch import save_file
from torch import nn

from uncork.cli.app import app
from uncork.cli.probes import reflowed
from uncork.probes._contract import registered
from uncork.remedies._contract import remedies

pytestmark = pytest.mark.usefixtures("in_this_process")

COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


def test_help(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert all(f"\n  {name} " in said.out for name in COMMANDS)
    assert {"audit", "treat", "report", "demo", "probes", "init"} <= set(COMMANDS)
    assert cli().out + cli().err == said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(command: str, cli: Cli) -> None:
    said = cli(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: ")
    assert f" {command} " in said.out.splitlines()[0]


def test_probes_are_listed(cli: Cli) -> None:
    said = cli("probes")
    assert said.code == 0
    assert all(id in said.out for id in registered())
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("id", registered())
def test_each_probe_is_explained(id: str, cli: Cli) -> None:
    said = cli("probes", id)
    assert (said.code, said.err) == (0, "")
    assert "When it misleads" in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_remedies_are_listed(cli: Cli) -> None:
    said = cli("remedies")
    assert said.code == 0
    assert all(id in said.out for id in remedies())
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("id", remedies())
def test_each_remedy_is_explained(id: str, cli: Cli) -> None:
    said = cli("remedies", id)
    assert (said.code, said.err) == (0, "")
    assert "When it fails" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert "there is no remedy 'prayer'" in cli("remedies", "prayer").err


def test_pages_are_reflowed_but_not_their_examples() -> None:
    page = "A page.\n\nHead\n----\nOne line\nand its end.\n* a point\ngoes on\n\nExample\n-------\n>>> 1 + 1\n2\n3\n"
    shown = "A page.\n\nHead\n----\nOne line and its end.\n* a point goes on\n\nExample\n-------\n>>> 1 + 1\n2\n3"
    assert reflowed(page) == shown


def test_init_writes_a_subject_that_runs(cli: Cli, tmp_path: Path) -> None:
    said = cli("init")
    assert (said.code, said.err) == (0, "")
    assert said.out == "wrote subject.py: fill in the places marked HERE, then run: uncork audit subject.py:subject\n"
    text = (tmp_path / "subject.py").read_text()
    compile(text, "subject.py", "exec")
    assert [text.count(f"HERE {i}") for i in (1, 2, 3, 4)] == [1, 1, 1, 1]

    # With the data and the weights that it asks for, it is audited as it stands.
    rng = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 60), ("validation", 120), ("test", 120)):
        arrays |= {f"x_{name}": rng.random((n, 28, 28), np.float32), f"y_{name}": rng.integers(0, 10, n)}
    np.savez(tmp_path / "data.npz", **arrays)
    command = ["audit", "subject.py:subject", "--probes", "overfitting", "-q"]
    assert cli(*command).message == "uncork: model.safetensors: there is no such file"
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    assert cli(*command).code == 0


def test_init_refuses_to_overwrite(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("dear")
    said = cli("init", "mine.py")
    assert (said.code, said.message) == (2, "uncork: mine.py is there already: give another name, uncork init other.py")
    assert (tmp_path / "mine.py").read_text() == "dear"
    assert cli("init", "no/where.py").message == "uncork: there is no folder no: make it first"


def test_report_renders_again_identically(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    first = cli("audit", subject_file(), "--probes", "overfitting,miscalibration,leaked-examples")
    assert first.code == 0
    assert max(map(len, first.out.splitlines())) <= 80
    before = {name: (tmp_path / "runs" / "s" / name).read_bytes() for name in ("report.json", "report.html")}
    (tmp_path / "runs" / "s" / "report.html").unlink()
    again = cli("report", "runs/s")
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert before == {name: (tmp_path / "runs" / "s" / name).read_bytes() for name in before}
    assert cli("report", "runs/s", "--card", "README.md", "-q").code == 0
    assert (tmp_path / "README.md").read_text().startswith("---\ntags: [uncork]\nmodel-index: ")
    assert "README.md is there already" in cli("report", "runs/s", "--card", "README.md").message


def test_progress_is_plain_lines_and_quiet_is_quiet(cli: Cli, subject_file: Callable[..., str]) -> None:
    said = cli("audit", subject_file(), "--probes", "overfitting")
    assert said.err.splitlines()[0] == "fingerprints of the rows …"
    assert "\x1b" not in said.err + said.out
    quiet = cli("audit", "s.py:subject", "--probes", "overfitting", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert cli("report", "runs/s", "-q").out == ""


def test_a_module_by_name_and_a_function(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    subject_file("def healthy():\n    return Subject(net, test=test, train=train)\n", "project/nets.py")
    said = cli("audit", "project.nets:healthy", "--probes", "overfitting", "-q")
    assert (said.code, said.err) == (0, "")
    about = json.loads((tmp_path / "runs" / "healthy" / "subject.json").read_text())
    assert about["source"] == {"kind": "file", "spec": "project.nets:healthy"}
    assert cli("treat", "runs/healthy", "-q").code == 0


LIGHT = """
import sys
import uncork
import uncork.cli.app
heavy = {"torch", "sklearn", "scipy", "pyarrow", "jinja2", "pydantic", "joblib"} & set(sys.modules)
assert not heavy, heavy
uncork.Subject, uncork.Metric, uncork.BadInput
assert "torch" not in sys.modules
uncork.Split
assert "torch" not in sys.modules
assert dir(uncork) == sorted(uncork.__all__)
"""


def test_importing_uncork_imports_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
