"""The command line, called in this process in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import HEALTHY, PRELUDE, Cli, Said

from uncork.cli.app import main


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


@pytest.fixture
def subject_file(tmp_path: Path) -> Callable[..., str]:
    """Writes a subject file: the prelude, then `body`; returns what to audit."""

    def write(body: str = HEALTHY, name: str = "s.py") -> str:
        (tmp_path / name).write_text(PRELUDE + body)
        return f"{name}:subject"

    return write
