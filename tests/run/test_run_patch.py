"""uncork patch: named mistakes are mended, saved, tried, and taken back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import FAST, build, rows, small, split
from sklearn.linear_model import LinearRegression, LogisticRegression

from uncork import BadInput, Predictions, Split, Subject, audit, load_treated, patch, treat
from uncork.models.base import logits_of
from uncork.models.patched import Patched

NAMES = ("no", "yes")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Subject]:
    """A run, and its subject: 300 rows of train, 600 each of validation (ids v0, v1, …) and test."""
    subject = small(
        train=split(300, 1),
        validation=split(600, 2, ids=[f"v{i}" for i in range(600)]),
        test=split(600, 3),
        classes=NAMES,
    )
    place = tmp_path_factory.mktemp("patch") / "run"
    audit(subject, pool="off", probes=FAST[:1], out=place)
    return place, subject


def wrong(subject: Subject, name: str, count: int) -> np.ndarray:
    part = getattr(subject, name)
    decided = logits_of(adapted(subject), part).argmax(axis=1)
    return np.flatnonzero(decided != part.y)[:count]


def adapted(subject: Subject) -> Any:
    from uncork.models.adapt import as_model

    return as_model(subject.model, "classification")


def mistakes(subject: Subject, count: int = 20, start: int = 0) -> dict[str, str]:
    at = wrong(subject, "validation", start + count)[start:]
    return {f"v{row}": NAMES[subject.validation.y[row]] for row in at}


def patched(run: tuple[Path, Subject], given: Any = None, **changes: Any) -> Any:
    return patch(run[0], given, subject=run[1], **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(place: Path, pairs: Mapping[Any, Any], head: str = "id,label") -> Path:
    place.write_text("\n".join([head, *(f"{id},{label}" for id, label in pairs.items())]) + "\n")
    return place


def test_named_mistakes_are_mended_and_others_stay(run: tuple[Path, Subject], tmp_path: Path) -> None:
    given = mistakes(run[1])
    found = patched(run, table(tmp_path / "c.csv", given), out=tmp_path / "p")
    assert found.corrected == tuple(f"validation:{id}" for id in given)
    assert found.estimates["success"].value == 1
    assert found.estimates["success"].n == 20
    model = load_treated(tmp_path / "p", build)
    x = run[1].validation.take(np.arange(600))
    before, after = adapted(run[1]).outputs(x).logits, model.outputs(x).logits
    at = wrong(run[1], "validation", 20)
    assert (after[at].argmax(axis=1) == run[1].validation.y[at]).all()
    changed = (before != after).any(axis=1)
    assert changed[at].all()
    assert before[~changed].tobytes() == after[~changed].tobytes()
    assert np.array_equal(after, found.model.outputs(x).logits)
    # What is said of other rows is of rows that neither calibrated nor were corrected.
    locality = found.estimates["locality"]
    assert 230 < locality.n < 350
    others = np.setdiff1d(np.arange(600), at)
    assert (1 - locality.value) * locality.n <= changed[others].sum()
    assert found.estimates["near"].value > found.estimates["near_unpatched"].value + 0.3
    assert found.estimates["broken"].low == 0


def test_taken_back_it_is_what_it_was(run: tuple[Path, Subject], tmp_path: Path) -> None:
    first, second = mistakes(run[1], 10), mistakes(run[1], 15, 10)
    patched(run, first, out=tmp_path)
    was = contents(tmp_path)
    more = patched(run, second, out=tmp_path)
    assert len(more.corrected) == 25
    assert more.estimates["success"].n == 25
    assert contents(tmp_path) != was
    patched(run, revert=list(second), out=tmp_path)
    assert contents(tmp_path) == was
    both = patched(run, second, revert=list(first), out=tmp_path)
    assert both.corrected == tuple(f"validation:{id}" for id in second)
    none = patched(run, revert=list(second), out=tmp_path)
    assert (none.corrected, none.estimates) == ((), {})
    x = rows(500, 8)[0]
    again = load_treated(tmp_path, build)
    assert again.outputs(x).logits.tobytes() == adapted(run[1]).outputs(x).logits.tobytes()
    assert patched(run, first, out=tmp_path).corrected == tuple(f"validation:{id}" for id in first)


def test_rows_of_any_split(run: tuple[Path, Subject], tmp_path: Path) -> None:
    subject = run[1]
    train, held = (int(wrong(subject, name, 1)[0]) for name in ("train", "validation"))
    given = {f"train:{train}": NAMES[subject.train.y[train]], f"v{held}": NAMES[subject.validation.y[held]]}
    found = patched(run, given, out=tmp_path)
    assert found.corrected == (f"train:{train}", f"validation:v{held}")
    assert found.estimates["success"].value == 1
    named = patched(run, {train: NAMES[subject.train.y[train]]}, on="train", out=tmp_path / "on")
    assert named.corrected == (f"train:{train}",)


def test_what_is_decided_so_already_needs_no_correction(run: tuple[Path, Subject], tmp_path: Path) -> None:
    decided = logits_of(adapted(run[1]), run[1].validation).argmax(axis=1)
    right = int(np.flatnonzero(decided == run[1].validation.y)[0])
    so = {f"v{right}": NAMES[decided[right]]}
    found = patched(run, {**mistakes(run[1], 3), **so}, out=tmp_path)
    assert found.already == (f"validation:v{right}",)
    assert found.estimates["success"].n == 4
    with pytest.raises(BadInput, match="all 1 rows that are named so already"):
        patched(run, so, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"v3": "maybe"}, "holds 'maybe' in row 0, but the classes are 'no', 'yes'"),
        ({"w3": "yes"}, "'w3' is no id of train, validation, test: ids look like '0'"),
        ({"3": "yes"}, r"train:3 and test:3: name the split with on= \(--on\)"),
        ({"test:3": "yes"}, "'test:3' is a row of test, which proves what is changed"),
        ({"v3": "yes", "validation:v3": "no"}, "validation:v3 is corrected to 'yes' and 'no'"),
        ({}, "holds no correction"),
        (None, "nothing to correct"),
    ],
)
def test_what_can_not_be_meant_is_refused(run: Any, tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        patched(run, given, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_refusal_leaves_what_was_there(run: tuple[Path, Subject], tmp_path: Path) -> None:
    patched(run, mistakes(run[1], 5), out=tmp_path)
    was = contents(tmp_path)
    for given, changes, message in (
        ({"v3": "maybe"}, {}, "maybe"),
        (None, {"revert": list(mistakes(run[1], 1, 7))}, r"holds no correction of validation:v\d+: it holds val"),
        (None, {"revert": ["nobody"]}, "'nobody' is no id"),
        (mistakes(run[1], 5), {"on": "elsewhere"}, "on is 'elsewhere': there are rows of train, validation, test"),
    ):
        with pytest.raises(BadInput, match=message):
            patched(run, given, out=tmp_path, **changes)
        assert contents(tmp_path) == was


def test_a_table_without_the_columns(run: tuple[Path, Subject], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no column 'label': it has id, class"):
        patched(run, table(tmp_path / "c.csv", {"v3": "yes"}, "id,class"))
    with pytest.raises(BadInput, match="there is no such file"):
        patched(run, tmp_path / "no.csv")


@pytest.mark.slow
def test_two_classes_in_one_place_are_refused(tmp_path: Path) -> None:
    """Rows 0 and 1 are the same to the model, and corrected to two classes."""
    x, y = rows(600, 2)
    x[1] = x[0]
    three = LogisticRegression().fit(x, np.r_[[2], y[1:]])
    subject = Subject(three, validation=Split(x, y), test=split(300, 3), classes=("a", "b", "c"))
    audit(subject, pool="off", probes=FAST[:1], out=tmp_path / "run")
    decided = adapted(subject).outputs(x[:1]).logits.argmax()
    two = [name for number, name in enumerate(subject.classes) if number != decided]
    with pytest.raises(BadInput, match=f"validation:0 is corrected to '{two[0]}', and validation:1 is .* tell these"):
        patch(tmp_path / "run", dict(enumerate(two)), on="validation", subject=subject)
    # Row 1 is right as it is, and can't be told from row 0.
    alone = patch(tmp_path / "run", {0: two[0]}, on="validation", subject=subject)
    assert any("logits" in note for note in alone.notes)


@pytest.mark.slow
def test_other_runs_and_folders_are_refused(run: tuple[Path, Subject], tmp_path: Path) -> None:
    other = small(2.0, train=run[1].train, validation=run[1].validation, test=run[1].test, classes=NAMES)
    with pytest.raises(BadInput, match=r"another subject \(model differ"):
        patch(run[0], mistakes(run[1], 2), subject=other)
    patched(run, mistakes(run[1], 2), out=tmp_path / "p")
    audit(other, pool="off", probes=FAST[:1], out=tmp_path / "other")
    with pytest.raises(BadInput, match="corrections of another model"):
        patch(tmp_path / "other", mistakes(run[1], 2), subject=other, out=tmp_path / "p")
    (tmp_path / "p" / "treated" / "treated.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        patched(run, mistakes(run[1], 2), out=tmp_path / "p")
    with pytest.raises(BadInput, match="made from Python objects"):
        patch(run[0], mistakes(run[1], 2))


@pytest.mark.slow
def test_what_treat_kept_is_not_overwritten(tmp_path: Path) -> None:
    subject = small(3.0, validation=split(600, 2), test=split(600, 3), classes=NAMES)
    report = audit(subject, pool="off", probes=["miscalibration"], out=tmp_path)
    assert any(t.kept for t in treat(report, remedies=["temperature"]).treatments)
    given = {int(row): NAMES[subject.validation.y[row]] for row in wrong(subject, "validation", 3)}
    with pytest.raises(BadInput, match="a model that treat kept"):
        patch(report, given, on="validation", out=tmp_path)
    found = patch(report, given, on="validation")
    assert found.folder == str(tmp_path / "patched")
    assert any("it is not patched" in note for note in found.notes)


def test_what_has_no_model_or_no_classes(tmp_path: Path) -> None:
    p = np.random.default_rng(0).dirichlet([1, 1], 200)
    parts = {name: Split(p, np.arange(200) % 2) for name in ("validation", "test")}
    blind = audit(Subject(Predictions(), **parts), pool="off", probes=FAST[:1], out=tmp_path / "a")
    with pytest.raises(BadInput, match="predictions alone"):
        patch(blind, {3: 1}, on="validation")
    x, _ = rows(300, 1)
    numbers = {name: Split(x, x[:, 0] + i) for i, name in enumerate(("validation", "test"))}
    model = LinearRegression().fit(x, x[:, 0])
    report = audit(Subject(model, metric="rmse", **numbers), pool="off", probes=FAST[:1], out=tmp_path / "b")
    with pytest.raises(BadInput, match="regression"):
        patch(report, {3: 1}, on="validation")


@pytest.mark.slow
def test_patched_models_are_audited_and_patched_again(run: tuple[Path, Subject], tmp_path: Path) -> None:
    patched(run, mistakes(run[1], 5), out=tmp_path / "p")
    subject = run[1].replace(model=load_treated(tmp_path / "p", build))
    report = audit(subject, pool="off", probes=FAST[:1], out=tmp_path / "run")
    found = patch(report, mistakes(run[1], 5, 5), out=tmp_path / "q")
    assert isinstance(found.model, Patched)
    again = load_treated(tmp_path / "q", build)
    at = wrong(run[1], "validation", 10)
    assert (again.predict(run[1].validation.take(at)) == run[1].validation.y[at]).all()


def test_rules_beside_rows_and_taken_back(run: tuple[Path, Subject], tmp_path: Path) -> None:
    """The net reads the first column alone; a rule says "no" of rows that are far out in the second."""
    subject = run[1]
    rule, x = "if x[1] > 1.5", subject.validation.take(np.arange(600))
    given = {id: label for id, label in mistakes(subject, 8).items() if x[int(id[1:]), 1] <= 1.5}
    patched(run, given, out=tmp_path)
    was = contents(tmp_path)
    found = patched(run, table(tmp_path / "rules.csv", {rule: "no"}), out=tmp_path)
    (tmp_path / "rules.csv").unlink()
    assert found.corrected == (*(f"validation:{id}" for id in given), rule)
    model, held = load_treated(tmp_path, build), x[:, 1] > 1.5
    assert (model.predict(x)[held] == 0).all()
    before, after = adapted(subject).outputs(x).logits, model.outputs(x).logits
    assert found.estimates["success"].value == 1
    assert found.estimates[rule].low < (subject.validation.y[held] == 0).mean() < found.estimates[rule].high
    assert (before[~held] == after[~held]).all(axis=1).mean() > 0.9
    patched(run, revert=[rule], out=tmp_path)
    assert contents(tmp_path) == was
    patched(run, {rule: "no"}, out=tmp_path)
    alone = patched(run, revert=list(given), out=tmp_path)
    assert alone.corrected == (rule,)
    assert patched(run, revert=[rule], out=tmp_path).corrected == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"if x[9] > 0": "no"}, r"columns of a matrix are called x\[0\] to x\[3\]"),
        ({"if x[1]": "no"}, "is no rule"),
        ({"if x[1] > 1": "no", "if x[2] > 1": "yes"}, "of validation:v.*: make them exclude one another"),
        ({"if x[1] > -9": "maybe"}, "holds 'maybe'"),
    ],
)
def test_rules_that_can_not_be_meant(run: Any, tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        patched(run, given, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_rule_against_a_row(run: tuple[Path, Subject], tmp_path: Path) -> None:
    ((id, label),) = mistakes(run[1], 1).items()
    other = NAMES[1 - NAMES.index(label)]
    with pytest.raises(BadInput, match=f"{id} is corrected to '{label}', but 'if x.*says '{other}' of it"):
        patched(run, {id: label, "if x[1] > -99": other}, out=tmp_path)
