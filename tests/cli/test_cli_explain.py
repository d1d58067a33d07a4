"""`uncork explain`: a page and a summary, and what is said where there is no such row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Cli


def test_explain(cli: Cli, subject_file: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.run.nearby.MAPPED", 30)
    assert cli("audit", subject_file(), "--probes", "miscalibration", "--pool", "off", "-q").code == 0
    said = cli("explain", "runs/s", "5")
    assert said.code == 0
    assert "uncork explain · s, row 5 of" in said.out
    assert "The model decides" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    written = [path.name for path in (tmp_path / "runs/s").glob("explain-*-5.html")]
    assert len(written) == 1
    assert written[0] in said.out
    assert cli("explain", "runs/s", "5", "--out", "p.html", "-q").out == ""
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")


def test_bad_use(cli: Cli, subject_file: Callable[..., str]) -> None:
    assert "there is no folder runs/none" in cli("explain", "runs/none", "1").message
    assert cli("audit", subject_file(), "--probes", "miscalibration", "--pool", "off", "-q").code == 0
    for arguments, message in (
        (("x9",), "there is no row x9: validation has"),
        (("1", "--split", "train"), "split='train': give validation or test"),
    ):
        said = cli("explain", "runs/s", *arguments)
        assert said.code == 2
        assert message in said.message
