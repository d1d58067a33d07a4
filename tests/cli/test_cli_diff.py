"""`uncork diff`: two tables, two subjects, and what is said when they can't be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cli_helpers import Cli


def table(path: Path, error: float, seed: int) -> str:
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 2
    p = np.where(rng.random(300) < error, 1 - y, y) * 0.8 + 0.1
    path.write_text("\n".join(["id,y,p", *(f"{i},{t},{v:.2f}" for i, (t, v) in enumerate(zip(y, p, strict=True)))]))
    return path.name


def test_tables(cli: Cli, tmp_path: Path) -> None:
    a = ",".join(table(tmp_path / f"a{s}.csv", 0.3, s) for s in range(3))
    b = ",".join(table(tmp_path / f"b{s}.csv", 0.1, 9 + s) for s in range(3))
    said = cli("diff", a, b, "--label", "y", "--id", "id", "--columns", "p", "--json", "found.json")
    assert (said.code, said.err) == (0, "")
    assert "The two ways of training: B is better" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["verdict"] == "better"
    assert [d["of"] for d in found["differences"]] == ["models", "recipes"]
    assert cli("diff", a, b, "--label", "y", "--columns", "p", "-q").out == ""


def test_subjects_on_test(cli: Cli, subject_file: Callable[..., str]) -> None:
    worse = "with torch.no_grad():\n    net.weight.mul_(-1)\nsubject = Subject(net, test=test, train=train)\n"
    sides = subject_file(), subject_file(worse, "w.py")
    found = {on: cli("diff", *sides, "--on", on) for on in ("validation", "test")}
    assert [said.code for said in found.values()] == [0, 0]
    assert "were set aside for it" in " ".join(found["validation"].out.split())
    assert "opening 1 of these rows, judged at 3.04 %" in " ".join(found["test"].out.split())
    assert "opening 2 of these rows" in " ".join(cli("diff", *sides[::-1], "--on", "test").out.split())


def test_bad_use(cli: Cli, tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", 0.3, 0)
    for arguments, message in (
        ((a, a), "tables of predictions need label= (--label)"),
        ((a, "runs/x", "--label", "y"), "one side is a table and the other is not"),
        ((a, "none.csv", "--label", "y"), "none.csv: there is no such file"),
        (("runs/x", "runs/y"), "there is no folder runs/x"),
        ((a, a, "--label", "y", "--metric", "f1"), "metric 'f1' is not known"),
    ):
        said = cli("diff", *arguments)
        assert said.code == 2
        assert message in said.message
