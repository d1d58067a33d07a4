"""examples/predictions_only.py runs as its docstring says, and its figures are those of the tables it wrote."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from uncork import audit
from uncork.run.source import load_subject

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "predictions_only.py"


@pytest.fixture
def example() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE), run_name="example"))


def test_script_writes_tables_and_audits_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert not stopped.value.code
    assert f"audit --predictions {tmp_path}/test.csv" in capsys.readouterr().out

    table = pd.read_csv(tmp_path / "test.csv")
    probability = table.filter(like="p_")
    wrong = (probability.idxmax(axis=1) != "p_" + table["digit"]).mean()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["headline"]["value"] == pytest.approx(1000 * wrong)
    assert report["headline"]["n"] == len(table) == 600
    assert report["subject"]["splits"] == {"validation": 600, "test": 600}

    validation = pd.read_csv(tmp_path / "validation.csv")
    sure = validation.filter(like="p_").max(axis=1)
    findings = {f["id"]: f for f in report["findings"]}
    assert findings["miscalibration"]["estimates"]["confidence"]["value"] == pytest.approx(sure.mean(), abs=1e-3)
    assert findings["leaked-examples"]["verdict"] == "not-applicable"


def test_same_audit_from_python(example: SimpleNamespace, tmp_path: Path) -> None:
    example.write(tmp_path)
    from_python = audit(load_subject(f"{EXAMPLE}:subject"), out=tmp_path / "python")
    table = pd.read_csv(tmp_path / "test.csv")
    wrong = (table.filter(like="p_").idxmax(axis=1) != "p_" + table["digit"]).mean()
    assert from_python.headline.value == pytest.approx(1000 * wrong)
    assert from_python.subject["classes"] == list(example.NAMES)


def test_docstring_shows_the_table_and_the_command(example: SimpleNamespace, tmp_path: Path) -> None:
    example.write(tmp_path)
    header = (tmp_path / "test.csv").read_text().splitlines()[0]
    shown = next(line.strip() for line in example.__doc__.splitlines() if line.strip().startswith("picture,"))
    assert header.startswith(shown.removesuffix("..."))
    typed = next(line for line in example.__doc__.splitlines() if line.strip().startswith("uncork audit --predictions"))
    assert typed.replace("FOLDER", str(tmp_path)).split()[1:] == example.command(tmp_path)[:-2]
