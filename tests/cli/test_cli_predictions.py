"""No model, no code: tables of probabilities, audited and treated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Cli


def table(path: Path, n: int, seed: int, *, ids: bool = False) -> str:
    """Probabilities three times too sure of themselves."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = np.array(["ant", "bee", "cat"])
    y = names[[rng.choice(3, p=p) for p in true]]
    p = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    head = ",".join([*(f"p_{name}" for name in names), "y", *(["id"] if ids else [])])
    rows = [
        ",".join([*(f"{v:.6f}" for v in row), label, *([f"{path.stem}-{i}"] if ids else [])])
        for i, (row, label) in enumerate(zip(p, y, strict=True))
    ]
    path.write_text("\n".join([head, *rows]))
    return path.name


@pytest.mark.parametrize("splits", [(), ("validation",), ("train", "validation")], ids=" ".join)
def test_audit_and_treat(splits: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    arguments = ["--predictions", table(tmp_path / "preds.csv", 1500, 0), "--label", "y"]
    for i, split in enumerate(splits, 1):
        arguments += [f"--{split}", table(tmp_path / f"{split}.csv", 1500, i)]
    said = cli("audit", *arguments)
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    run = tmp_path / "runs" / "preds"
    report = json.loads((run / "report.json").read_text())
    assert report["subject"]["classes"] == ["ant", "bee", "cat"]
    verdicts = {f["id"]: f for f in report["findings"]}
    assert verdicts["miscalibration"]["verdict"] == "bottleneck"
    assert verdicts["leaked-examples"]["reason"].startswith("only predictions were given")
    assert not [f for f in report["findings"] if f["verdict"] == "error"]
    assert bool(report["subject"]["notes"]) == ("validation" not in splits)

    said = cli("treat", "runs/preds")
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    report = json.loads((run / "report.json").read_text())
    temperature = next(t for t in report["treatments"] if t["remedy"] == "temperature")
    assert (temperature["verdict"], temperature["stage"], temperature["kept"]) == ("helps", "test", True)
    assert report["verification"]["proven"]
    treated = json.loads((run / "treated" / "treated.json").read_text())
    assert treated["model"]["kind"] == "temperature"
    assert 2.4 < treated["model"]["temperature"] < 3.7  # 3 was planted
    assert treated["model"]["inner"]["kind"] == "predictions"
    assert sorted(p.name for p in (run / "treated").iterdir()) == ["treated.json"]


def test_ids_decide_what_is_set_aside(cli: Cli, tmp_path: Path) -> None:
    """With ids the halves are the same whatever the order of the rows."""
    values = []
    for name, order in (("a.csv", 1), ("b.csv", -1)):
        path = tmp_path / "preds.csv"
        table(path, 400, 0, ids=True)
        head, *rows = path.read_text().splitlines()
        (tmp_path / name).write_text("\n".join([head, *rows[::order]]))
        command = ["audit", "--predictions", name, "--label", "y", "--id", "id", "--probes", "miscalibration", "-q"]
        assert cli(*command).code == 0
        report = json.loads((tmp_path / "runs" / name[0] / "report.json").read_text())
        values.append((report["headline"], report["findings"][0]["estimates"]["accuracy"]))
    assert values[0] == values[1]


def test_tables_of_other_classes(cli: Cli, tmp_path: Path) -> None:
    table(tmp_path / "a.csv", 50, 0)
    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text().replace("cat", "dog"))
    said = cli("audit", "--predictions", "a.csv", "--label", "y", "--validation", "b.csv")
    assert (said.code, said.message) == (
        2,
        "uncork: b.csv has the classes ant, bee, dog, but a.csv has ant, bee, cat",
    )
    assert not (tmp_path / "runs").exists()


def test_a_table_that_changed(cli: Cli, tmp_path: Path) -> None:
    table(tmp_path / "a.csv", 200, 0)
    assert cli("audit", "--predictions", "a.csv", "--label", "y", "--probes", "miscalibration", "-q").code == 0
    table(tmp_path / "a.csv", 200, 1)
    said = cli("treat", "runs/a")
    assert said.message.startswith("uncork: runs/a holds the run of another subject (validation, test differ)")
