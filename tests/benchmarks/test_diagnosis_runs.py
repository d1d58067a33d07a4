"""The design, the truth of a case, and the runner, on subjects that train in a moment."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import blobs

from benchmarks.diagnosis import __main__ as runner
from benchmarks.diagnosis import truth
from benchmarks.diagnosis.cases import Answer, PlantedCase, Truth, design, quick
from benchmarks.diagnosis.sets import FROZEN, SETS
from uncork import BadInput, Subject
from uncork.planted.data import DataSet
from uncork.planted.faults import FAULTS, Planted
from uncork.planted.ground import Ground, lay

BLOBS = DataSet("blobs", "table", blobs, 3, train=200, validation=200, spare=200, epochs=8)


@pytest.fixture
def ground() -> Ground:
    return lay(BLOBS, seed=0)


def test_the_design_is_what_it_says() -> None:
    cases = design()
    assert len({case.key for case in cases}) == len(cases)
    assert {case.data for case in cases} == set(SETS)
    assert set(SETS) > FROZEN
    assert len(FROZEN) >= len(SETS) / 2
    planted = {name for case in cases for name in case.fault.split("+") if name}
    assert planted == set(FAULTS)
    assert all(SETS[case.data].classes or all(f.regression for f in case.faults()) for case in cases)
    for frozen in (False, True):
        assert len({case.fault for case in cases if case.frozen == frozen}) > 12
    assert not any(case.frozen for case in quick())


def test_the_oracle_is_the_gain_from_undoing_the_plant(ground: Ground) -> None:
    """Against models trained here, seed by seed; the remedy that comes to the same has the same figure."""
    planted = FAULTS["wrong-labels"].plant(ground, 0.4)
    found = truth.measure(planted, findings=("wrong-labels",), column="quality", seed=0)

    def errors(of: Ground, seed: int) -> float:
        passed = truth.outputs(of, of.fit(seed), "test")
        return 1000 * float(np.mean(passed.predicted != ground.test[1]))

    gains = [errors(planted.faulty, k) - errors(ground, k) for k in range(truth.ORACLE_SEEDS)]
    assert found.oracle["value"] == pytest.approx(np.mean(gains))
    assert found.gains["wrong-labels"] == found.oracle
    assert found.before["value"] == pytest.approx(errors(planted.faulty, 0))
    assert {"mistuned-training", "undertraining", "scarce-data", "wrong-family"} <= set(found.gains)


def test_where_nothing_is_wrong_no_repair_of_labels_or_classes_is_tried(ground: Ground) -> None:
    tried = truth.remedies(Planted(ground, ground))
    assert "wrong-labels" not in tried
    assert "rare-classes" not in tried
    steps = [option.recipe.steps(len(option.train[1])) for option in tried["scarce-data"]]
    assert steps == [ground.recipe.steps(200)]  # twice the rows, as many steps
    assert len(tried["scarce-data"][0].train[1]) == 400


def test_outside_quality_only_the_repair_is_measured(ground: Ground) -> None:
    planted = FAULTS["broken-layer"].plant(ground, 0.5)
    found = truth.measure(planted, findings=("irreproducible-recipe",), column="gate", seed=0)
    assert found.oracle is not None
    assert found.gains == {}


def test_rebalanced_classes_are_as_frequent(ground: Ground) -> None:
    faulty = FAULTS["imbalance"].plant(ground, 10.0).faulty
    balanced = truth.rebalanced(faulty)
    assert balanced is not None
    sizes = np.bincount(balanced.train[1])
    assert sizes.min() == sizes.max() == np.bincount(faulty.train[1]).max()
    assert len(np.unique(balanced.train[0], axis=0)) == len(faulty.train[1])
    assert truth.rebalanced(ground) is None


@dataclass(frozen=True)
class Made:
    """A case made elsewhere: named by its key; "broken" can't be trained."""

    key: str
    group: str = "made/healthy"
    column: str = "healthy"
    frozen: bool = False

    def subject(self) -> Subject:
        if self.key == "broken":
            raise BadInput("this net diverged")
        ground = lay(BLOBS, seed=1)
        return ground.subject(ground.recipe.make(), metric="error")

    def truth(self) -> Truth:
        nothing = {"value": 9.0, "low": 8.0, "high": 10.0}
        return Truth("healthy", (), "error", "errors per 1,000", 10.0, nothing, None, {"scarce-data": nothing})


MADE = [Made("sound"), Made("broken")]
NONE_OF_IT = [1, 2]


def scarce(subject: Subject, seed: int) -> list[Answer]:
    return [Answer("scarce-data", 9.0, 5.0, math.inf)]


def faulty_auditor(subject: Subject, seed: int) -> list[Answer]:
    raise RuntimeError("no idea")


def run(tmp_path: Path, *more: str) -> None:
    mine = [word for name in ("scarce", "faulty_auditor") for word in ("--auditor", f"{__name__}:{name}")]
    known = ["--subjects", f"{__name__}:MADE", "--auditors", "tune-the-learning-rate"]
    runner.main([*known, *mine, "--out", str(tmp_path), "--jobs", "1", *more])


def test_a_run_scores_cases_made_elsewhere_and_goes_on_from_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    said = capsys.readouterr().out
    assert "broken: FAILED, and is left out: BadInput: this net diverged" in said
    assert "1 cases of 2" in said.replace("\n", " ")
    told = json.loads((tmp_path / "sound" / f"{__name__}.scarce.json").read_text())
    assert told["answers"] == [["scarce-data", 9.0, 5.0, math.inf]]
    assert "no idea" in json.loads((tmp_path / "sound" / f"{__name__}.faulty_auditor.json").read_text())["error"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["diagnosis.md", "diagnosis.svg", "sound"]

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "sound").iterdir()}
    (tmp_path / "sound" / "truth.json").unlink()
    run(tmp_path)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "sound").iterdir()}
    assert [p.name for p in after if after[p] != before[p]] == ["truth.json"]
    capsys.readouterr()
    run(tmp_path, "--score")
    assert capsys.readouterr().out.startswith("# Does it name the right bottleneck?")  # nothing was run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--auditors", "nonsense"], "there is no auditor nonsense: choose from uncork"),
        (["--auditor", "no.such:thing"], "no.such:thing can't be found"),
        (["--auditor", f"{__name__}:MADE"], "can't be called"),
        (["--subjects", f"{__name__}:NONE_OF_IT"], "is no list of cases: each has key"),
        (["--subjects", "json"], "give module:name"),
    ],
)
def test_bad_use_is_said_before_anything_is_trained(arguments: list[str], said: str, tmp_path: Path) -> None:
    if "--subjects" not in arguments:
        arguments = [*arguments, "--subjects", f"{__name__}:MADE"]
    with pytest.raises(SystemExit, match=said):
        runner.main([*arguments, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_keys_and_groups() -> None:
    case = PlantedCase("digits", "lr-over-30", 1 / 30, 0)
    assert (case.key, case.group, case.column) == ("digits--lr-over-30--0.0333--0", "digits/lr-over-30", "quality")
    healthy = PlantedCase("usps", "", 0, 1)
    assert (healthy.key, healthy.column, healthy.frozen) == ("usps--healthy--0--1", "healthy", True)


@pytest.mark.parametrize(
    "part",
    [["--quick"], ["--half", "open"], ["--auditors", "uncork"], ["--auditor", "json:dumps"], ["--out", "elsewhere"]],
)
def test_only_the_whole_benchmark_is_published(part: list[str]) -> None:
    assert runner.is_whole(runner.parse([]))
    assert runner.is_whole(runner.parse(["--score", "--jobs", "1"]))
    assert not runner.is_whole(runner.parse(part))


def test_without_results_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no result of these cases"):
        run(tmp_path, "--score")
    assert not list(tmp_path.iterdir())
