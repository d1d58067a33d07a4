"""What a page shows beside its report: rows as they look, manuals, the file of suspects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_helpers import small, split
from torch import nn

from uncork import Predictions, Split, Subject
from uncork.gather.forward import forward
from uncork.run.admit import admit
from uncork.run.beside import LISTED, SIDE, beside, write_cases
from uncork.run.executor import Executor
from uncork.schema.beside import Cases, Mistake, sections
from uncork.schema.case import Picture, Shown
from uncork.schema.finding import Detail, Finding


def finding(*details: Detail) -> Finding:
    return Finding("f", "defect", "quality", "F", "bottleneck", details=details)


def examples(place: str, rows: list[int]) -> Detail:
    return Detail("examples", "E", {"split": place, "rows": rows, "columns": [], "values": [[]] * len(rows)})


def written(subject: Subject, folder: Path, *details: Detail) -> Cases:
    context = admit(subject, describe_only=False, seed=0, fan=Executor()).context
    passed = forward(context.model, context.split("validation"), name="validation")
    write_cases(folder, context, [finding(*details)], passed)
    return beside(folder).cases


def test_rows_that_findings_name_and_the_surest_mistakes(tmp_path: Path) -> None:
    train = split(200, 1, ids=[f"r{i}" for i in range(200)])
    data = {"columns": ["split", "row", "row of train", "distance"], "rows": [["test", 3, 7, 0.1]]}
    broken = Detail("table", "B", {"columns": ["split", "row", "row of train"], "rows": [["test", "x"]]})
    cases = written(small(train=train), tmp_path, examples("train", [17, 999]), Detail("table", "T", data), broken)
    assert {at: id for at, (id, _) in cases.rows["train"].items()} == {7: "r7", 17: "r17"}  # there is no row 999
    assert list(cases.rows["test"]) == [3]
    shown = cases.rows["train"][17][1]
    assert [v for _, v in shown.values] == pytest.approx(train.take(np.array([17]))[0].tolist())

    subject = small()
    x, y = subject.validation.take(np.arange(600)), subject.validation.y
    sure = 1 / (1 + np.exp(-2.4 * np.abs(x[:, 0])))
    wrong = np.flatnonzero((x[:, 0] > 0) != y)
    expected = wrong[np.argsort(-sure[wrong])][: LISTED // 2]
    assert [m.row for m in cases.mistakes] == expected.tolist()
    assert [m.probability for m in cases.mistakes] == pytest.approx(sure[expected], abs=2e-3)
    assert {m.label != m.decided for m in cases.mistakes} == {True}
    assert set(cases.rows["validation"]) == set(expected.tolist())


def test_large_pictures_are_kept_small(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((30, 3, 100, 65), np.float32)
    part, other = (Split(rows, np.arange(30) % 2) for rows in (x, x + 1))
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 100 * 65, 2))
    subject = Subject(net, validation=part, test=other, name="p")
    with torch.no_grad():
        cases = written(subject, tmp_path, examples("test", list(range(30))))
    assert len(cases.rows["test"]) == LISTED
    for _, look in cases.rows["test"].values():
        assert look.picture is not None
        assert max(look.picture.height, look.picture.width) <= SIDE
        assert look.picture.height / look.picture.width == pytest.approx(100 / 65, rel=0.1)


def test_of_predictions_alone_a_row_shows_its_id_only(tmp_path: Path) -> None:
    p = np.random.default_rng(1).dirichlet([1, 1, 1], 90).astype(np.float32)
    part, other = (Split(rows, np.arange(90) % 3) for rows in (p, p[::-1].copy()))
    cases = written(
        Subject(Predictions(), validation=part, test=other, name="p"),
        tmp_path,
        examples("test", [4]),
    )
    assert cases.rows["test"][4] == ("4", Shown())


def test_survives_json_and_damage_is_no_obstacle(tmp_path: Path) -> None:
    rows = {
        "train": {
            3: ("a", Shown(Picture(1, 2, bytes(6)))),
            4: ("b", Shown(text="t")),
            5: ("c", Shown(values=(("n", 1.5),))),
        }
    }
    cases = Cases(rows, (Mistake(3, "x", "y", 0.5),))
    assert Cases.from_json(cases.to_json()) == cases
    for damaged in (
        "",
        "{}",
        '{"rows": {"train": {"x": {}}}, "mistakes": []}',
        cases.to_json().replace("AAAAAAAA", "AAAA"),
    ):
        (tmp_path / "rows.json").write_text(damaged)
        assert beside(tmp_path).cases == Cases()


def test_manuals_and_files(tmp_path: Path) -> None:
    (tmp_path / "relabel.csv").write_text("id,label\n1,a\n")
    found = beside(tmp_path)
    assert found.files == {"relabel.csv": "id,label\n1,a\n"}
    assert all(m["When it misleads"] and m["References"] for m in found.probes.values())
    assert all(m["When it fails"] for m in found.remedies.values())
    (tmp_path / "relabel.csv").write_text("x" * 600_000)  # too large to stand in a page
    assert beside(tmp_path).files == {}


def test_sections_of_a_docstring() -> None:
    doc = "Title.\n\nOne\n---\na\nb\n\nTwo words\n---------\n>>> x - y\n-1\n"
    assert sections(doc) == {"One": "a\nb", "Two words": ">>> x - y\n-1"}
    assert sections("no headings") == {}
