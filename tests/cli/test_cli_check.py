"""`uncork check` and `uncork history`: exit codes, files, and 80 columns."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cli_helpers import Cli

from uncork.gather.store import write_atomically
from uncork.run.sides import KNOWN_BY_LABELS
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Headline, Report

LABELS = Finding("wrong-labels", "defect", "quality", "Labels", "clear", Estimate(1, -2, 4, "errors per 1,000", 9, "t"))
REPORT = Report(
    subject={"name": "digits", "classes": ["a", "b"]},
    headline=Headline("error", 73.0, 62.0, 80.0, 2000, "errors per 1,000", "Wilson"),
    principal=(),
    findings=(LABELS,),
)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run folder by hand, audited at that many seconds."""

    def write(name: str = "runs/a", report: Report = REPORT, at: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_atomically(
            folder / "subject.json", '{"fingerprints": {"validation": "t"}, "source": {}, "describe_only": false}'
        )
        write_atomically(folder / "report.json", report.to_json())
        write_atomically(folder / "plan.json", "{}")
        os.utime(folder / "plan.json", (at, at))
        return folder

    return write


def test_check_says_by_its_exit_code(cli: Cli, run: Callable[..., Path], tmp_path: Path) -> None:
    run()
    gate = tmp_path / "uncork.toml"
    gate.write_text('assert = ["headline.high <= 0.08", "principal == none"]')
    said = cli("check", "runs/a", "--junit", "j.xml", "--markdown", "m.md")
    assert (said.code, said.err) == (0, "")
    assert "All 2 hold." in said.out
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "0"

    gate.rename(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text('assert = ["headline.high <= 0.07", "scarce-data.headroom.high <= 0.005"]')
    said = cli("check", "runs/a", "--assert", "mine.toml", "--junit", "j.xml", "--markdown", "m.md")
    assert (said.code, said.err) == (1, "")
    assert "FAILS  headline.high <= 0.07\n       high is 80 errors per 1,000; the limit is 70" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "2"
    assert "| FAILS | headline.high" in (tmp_path / "m.md").read_text()
    quiet = cli("check", "runs/a", "--assert", "mine.toml", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (1, "", "")


def test_check_refuses_what_it_can_not_read(cli: Cli, run: Callable[..., Path], tmp_path: Path) -> None:
    run()
    (tmp_path / "bad.toml").write_text('assert = ["headline.value <= 0.07"]')
    for arguments, message in (
        (("runs/a",), "uncork: there is no file uncork.toml: write one, such as assert = "),
        (("runs/a", "--assert", "bad.toml"), "uncork: bad.toml, line 1: 'headline.value <= 0.07': an estimate may be"),
        (("runs/b", "--assert", "bad.toml"), "uncork: bad.toml, line 1"),
    ):
        said = cli("check", *arguments, "--junit", "j.xml")
        assert (said.code, said.out) == (2, "")
        assert said.message.startswith(message)
    assert not (tmp_path / "j.xml").exists()
    (tmp_path / "good.toml").write_text('assert = ["principal == none"]')
    assert cli("check", "runs/b", "--assert", "good.toml").message.startswith("uncork: there is no folder runs/b")
    assert cli("check", "runs/a", "--assert", "good.toml", "--junit", "no/j.xml").code == 2


def test_history_lists_runs_by_time_and_what_can_not_be_read(cli: Cli, run: Callable[..., Path]) -> None:
    run("runs/a/later", at=200_000)
    run("runs/deep/first", at=100_000)
    (run("runs/torn", at=300_000) / "report.json").write_text("{")
    (run("runs/stopped") / "report.json").unlink()
    said = cli("history")
    assert (said.code, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80
    text = " ".join(said.out.split())
    assert text.index("deep/first") < text.index("a/later") < text.index("torn can't be read")
    assert "73 (62 to 80)" in text
    assert "stopped can't be read: runs/stopped holds no report.json: its audit was stopped" in text
    assert "torn can't be read: runs/torn/report.json is not JSON" in text
    assert cli("history", "runs/a/later").out.count("73 (62 to 80)") == 1


def test_history_of_two_runs(cli: Cli, run: Callable[..., Path]) -> None:
    run("runs/a")
    worse = Finding("wrong-labels", "defect", "quality", "Labels", "bottleneck", LABELS.headroom)
    run("runs/b", Report(REPORT.subject, REPORT.headline, (), (worse,)))
    said = cli("history", "runs/a", "runs/b")
    assert (said.code, said.err) == (0, "")
    text = " ".join(said.out.split())
    assert "wrong-labels: clear, 1 (−2 to 4) errors per 1,000 → bottleneck, 1 (−2 to 4) errors per 1,000" in text
    assert "Whether the model is better can't be said: runs/a describes all of test and has no validation" in text


def test_history_refuses_what_is_no_folder_of_runs(cli: Cli, run: Callable[..., Path], tmp_path: Path) -> None:
    assert cli("history").message == "uncork: there is no folder runs: give one that holds runs, such as runs"
    (tmp_path / "runs").mkdir()
    assert cli("history").message.startswith("uncork: runs holds no run: ")
    torn = run("runs/torn")
    (torn / "report.json").write_text("{")
    run("runs/a")
    assert "runs/torn/report.json is not JSON" in cli("history", "runs/a", "runs/torn").message
    assert cli("history", "runs/a", "runs/b").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("ids", [True, False])
def test_not_worse_than_another_run_of_the_same_rows(ids: bool, cli: Cli, tmp_path: Path) -> None:
    """Predictions that are wrong in 10 % or 20 % of 3,000 rows, and in 10 % of other rows of theirs: 100 per 1,000
    worse is told; as good is told within 40 per 1,000, which is δ here, and not within 5."""
    y = np.random.default_rng(7).integers(3, size=3000)
    for name, share in (("main", 0.1), ("alike", 0.1), ("worse", 0.2)):
        rng = np.random.default_rng(len(name))
        predicted = np.where(rng.random(3000) < share, (y + 1) % 3, y)
        p = np.full((3000, 3), 0.1)
        p[np.arange(3000), predicted] = 0.8
        rows = [",".join([*([f"r{i}"] if ids else []), "abc"[y[i]], *map(str, p[i])]) for i in range(3000)]
        head = ",".join([*(["id"] if ids else []), "y", "p_a", "p_b", "p_c"])
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *rows]))
        named = ["--id", "id"] if ids else []
        assert cli("audit", "--predictions", f"{name}.csv", "--label", "y", *named, "-q").code == 0
    (tmp_path / "uncork.toml").write_text('not-worse-than = "runs/main"')
    assert cli("check", "runs/main").code == 0
    said = cli("check", "runs/worse")
    assert said.code == 1
    assert "a loss above δ = 5 is not excluded" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert cli("check", "runs/alike").code == 1
    text = " ".join(cli("history", "runs/main", "runs/worse").out.split())
    assert "These very models: B is worse" in text
    assert KNOWN_BY_LABELS in text

    # Of other rows nothing is said.
    (tmp_path / "few.csv").write_text("\n".join((tmp_path / "main.csv").read_text().splitlines()[:1001]))
    named = ["--id", "id"] if ids else []
    assert cli("audit", "--predictions", "few.csv", "--label", "y", *named, "-q").code == 0
    refused = cli("check", "runs/few")
    assert refused.code == 2
    assert refused.message.startswith('uncork: not-worse-than = "runs/main": runs/main and runs/few have other rows')

    # Labels in sorted order are those of any rows.
    for name in ("main", "worse"):
        head, *rows = (tmp_path / f"{name}.csv").read_text().splitlines()
        rows.sort(key=lambda row: row.split(",")[int(ids)])
        (tmp_path / f"{name}-sorted.csv").write_text("\n".join([head, *rows]))
        assert cli("audit", "--predictions", f"{name}-sorted.csv", "--label", "y", *named, "-q").code == 0
    (tmp_path / "uncork.toml").write_text('not-worse-than = "runs/main-sorted"')
    assert "runs/main-sorted and runs/worse-sorted have other rows" in cli("check", "runs/worse-sorted").message
