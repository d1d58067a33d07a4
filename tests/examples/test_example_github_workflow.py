"""examples/github_workflow.yml and examples/uncork.toml: valid, and every command in them is one of ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from uncork.cli.app import app
from uncork.probes._contract import registered
from uncork.run.check import read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def steps() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((EXAMPLES / "github_workflow.yml").read_text())
    assert set(content[True]) == {"pull_request", "push"}  # what YAML 1.1 makes of `on`
    (job,) = content["jobs"].values()
    assert job["runs-on"]
    return list(job["steps"])


def test_every_step_runs_or_uses_one_thing(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        assert ("run" in step) != ("uses" in step)
        assert set(step) <= {"name", "run", "uses", "with", "if"}
        assert re.fullmatch(r"actions/[\w/-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_commands_are_ours(steps: list[dict[str, Any]]) -> None:
    """Parsed as `uncork` would: the command, its options and their values."""
    group = typer.main.get_command(app)
    lines = [line for step in steps for line in step.get("run", "").splitlines() if line.startswith("uncork ")]
    named = []
    for line in lines:
        _, name, *arguments = shlex.split(line)
        group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]
        named.append(name)
    assert named == ["audit", "check", "check"]


def test_what_is_checked_is_what_was_audited_and_shown(steps: list[dict[str, Any]]) -> None:
    text = "\n".join(step.get("run", "") for step in steps)
    (out,) = re.findall(r"--out (\S+)", text)
    assert set(re.findall(r"check (\S+)", text)) == {out}
    shown = next(step["run"] for step in steps if "GITHUB_STEP_SUMMARY" in step.get("run", ""))
    assert all(name in shown for name in re.findall(r"--markdown (\S+)", text))
    (upload,) = (step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert {f"{out}/report.html", *re.findall(r"--junit (\S+)", text)} <= set(upload.split())


def test_the_assertions_can_be_read_and_are_of_known_findings(tmp_path: Path) -> None:
    clauses, other = read(EXAMPLES / "uncork.toml")
    assert other is None
    assert {clause.of for _, clause in clauses} - {"headline", "principal"} <= set(registered())
    (tmp_path / "all.toml").write_text((EXAMPLES / "uncork.toml").read_text().replace("# not-worse", "not-worse"))
    assert read(tmp_path / "all.toml")[1] == "runs/main"


def test_the_page_of_the_gate_shows_what_can_be_read(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "gate.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "uncork.toml").write_text(block)
        clauses, _ = read(tmp_path / "uncork.toml")
        assert {clause.of for _, clause in clauses} - {"headline", "principal"} <= set(registered())
