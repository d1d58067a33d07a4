"""Treatment: what is kept, what proof is measured from, and that test stays shut until then."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import FAST, RECIPE, build, rows, small, split, timeless

from uncork import BadInput, Report, Split, Subject, UncorkError, audit, load_treated, treat
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.models.offset import Offset
from uncork.models.temperature import Tempered
from uncork.planted.subjects import planted
from uncork.remedies._contract import Case, Treated, remedies
from uncork.report import words
from uncork.run import bench, ledger, verify
from uncork.run.worth import worth_trying
from uncork.schema.errors import Unavailable
from uncork.schema.report import Treatment
from uncork.stats.multiplicity import alpha_of_opening

pytestmark = pytest.mark.usefixtures("in_this_process")

SURE = 4.0  # times too sure: temperature is what mends it


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sure(**changes: Any) -> Subject:
    return small(scale=SURE, **changes)


def only(report: Report) -> Treatment:
    """The treatment beside those that need more rows, or more than one number, than these subjects have."""
    (treatment,) = (t for t in report.treatments if t.remedy not in ("isotonic", "vector-scaling"))
    return treatment


def audited(subject: Subject, out: str = "run", probes: Sequence[str] = ("miscalibration",)) -> Report:
    return audit(subject, out=out, probes=probes)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The remedies there are, to be changed by a test."""
    changed = remedies()
    monkeypatch.setattr("uncork.run.worth.known_remedies", lambda: changed)
    return changed


# What is kept.


def test_temperature_is_kept_and_proven() -> None:
    report = treat(audited(sure()))
    treatment = only(report)
    assert (treatment.remedy, treatment.kept, treatment.verdict, treatment.stage) == (
        "temperature",
        True,
        "helps",
        "test",
    )
    assert treatment.realised.low > 0
    assert treatment.predicted.unit == treatment.realised.unit == "nats"
    check = report.verification
    assert check.proven
    assert check.after.value < check.before.value
    assert check.opening == 1
    assert check.alpha == alpha_of_opening(1)
    assert check.yardstick == "log-loss"
    assert words.verified(check).startswith("Proven on test: log-loss is better by ")
    assert words.verified(check).endswith(" nats (opening 1 of these test rows, tested at 3.04 %).")
    assert Report.from_json(Path("run/report.json").read_text()).to_json() == report.to_json()
    # The treated model decides as before, and is as good on test as the report says.
    logits = forward(_treated_model(sure()), split(600, 3), name="test")
    assert logits.loss.mean() == pytest.approx(check.after.value, abs=1e-6)
    plain = forward(_model(sure()), split(600, 3))
    assert np.array_equal(logits.predicted, plain.predicted)


def _model(subject: Subject) -> Any:
    from uncork.models.adapt import adapt

    return adapt(subject, "classification")


def _treated_model(subject: Subject) -> Any:
    """From the folder alone, as its user would."""
    return _model(subject.replace(model=load_treated("run", build)))


@pytest.mark.slow
def test_a_planted_fault_is_found_mended_and_proven() -> None:
    report = treat(audited(planted("miscalibration")))
    assert report.finding("miscalibration").verdict == "bottleneck"
    assert (only(report).verdict, report.verification.proven) == ("helps", True)


def test_a_remedy_that_does_nothing_is_not_kept(known: dict[str, Any]) -> None:
    def nothing(case: Case) -> Treated:
        return Treated(case.subject, "nothing")

    known["temperature"] = dataclasses.replace(known["temperature"], apply=nothing)
    report = treat(audited(sure()))
    assert (only(report).kept, only(report).verdict, only(report).stage) == (False, "undetermined", "validation")
    assert report.verification is None
    assert not Path("run/treated").exists()
    assert not ledger.path().exists(), "test was not opened"


def test_a_remedy_whose_control_does_as_well_is_not_kept(known: dict[str, Any]) -> None:
    remedy = known["temperature"]
    known["temperature"] = dataclasses.replace(remedy, control=lambda case, treated: treated)
    treatment = only(treat(audited(sure())))
    assert treatment.realised.low > 0
    assert treatment.against_control.value == 0
    assert (treatment.kept, treatment.verdict) == (False, "undetermined")


def test_a_remedy_that_hurts(known: dict[str, Any]) -> None:
    def worse(case: Case) -> Treated:
        return Treated(case.subject.replace(model=Tempered(_model(case.subject), 0.2)), "surer still")

    known["temperature"] = dataclasses.replace(known["temperature"], apply=worse)
    assert (only(treat(audited(sure()))).verdict, only(treat("run", subject=sure())).kept) == ("hurts", False)


def test_a_remedy_that_is_not_available_says_why() -> None:
    report = treat(audited(sure(recipe=None), probes=["overfitting"]), remedies=["drop-examples"])
    assert only(report).verdict == "not-applicable"
    assert only(report).reason.startswith("training again without some rows needs train and a recipe")


def test_what_does_not_fit_the_budget_is_listed() -> None:
    treatment = only(treat(audited(sure(), probes=["overfitting"]), remedies=["drop-examples"], budget=1e-6))
    assert treatment.verdict == "not-applicable"
    assert treatment.reason.startswith("would take about ")
    assert treatment.reason.endswith("more than is left of the budget: give a larger --budget")


def test_gates_come_first_and_clear_findings_are_left_alone() -> None:
    report = audit(leaking(), out="run", probes=FAST)
    tried = [(remedy.id, finding.tier) for remedy, finding in worth_trying(report.findings, None, 5.0)]
    assert tried[0] == ("deduplicate", "gate")
    assert ("temperature", "defect") not in [t for t in tried if report.finding("miscalibration").verdict == "clear"]
    with pytest.raises(BadInput, match="there is no remedy 'prayer': choose from "):
        worth_trying(report.findings, ["prayer"], 5.0)


# Gates.


def leaking() -> Subject:
    """Half of validation and of test stand in train, with the labels that a nearest neighbour would remember."""
    from sklearn.neighbors import KNeighborsClassifier

    held, test = rows(600, 2), rows(600, 3)
    x, y = (np.concatenate([a, b[:300], c[:300]]) for a, b, c in zip(rows(200, 1), held, test, strict=True))

    def recipe(train: Split, seed: int) -> KNeighborsClassifier:
        return KNeighborsClassifier(1, algorithm="brute").fit(train.take(np.arange(len(train))), train.y)

    train = Split(x, y)
    return Subject(
        recipe(train, 0), train=train, validation=Split(*held), test=Split(*test), recipe=recipe, name="leaking"
    )


def test_a_gate_is_closed_and_the_baseline_moves(known: dict[str, Any]) -> None:
    report = audited(leaking(), probes=["leaked-examples", "miscalibration"])
    gate = report.finding("leaked-examples")
    assert gate.verdict == "bottleneck"
    assert gate.estimates["validation_copies"].value == 500
    report = treat(report)
    first, *later = report.treatments
    assert (first.remedy, first.verdict, first.kept) == ("deduplicate", "closed", True)
    assert first.realised.value == 500
    assert first.against_control.value > 100  # of the 200 rows that the control keeps, 150 are copies
    # The retrained model is worse on paper: the leak flattered the old one. It is no loss to be charged to treatment.
    effect = next(e for e in first.side_effects if e.name == "error")
    assert effect.after.value > effect.before.value + 50
    assert [t.remedy for t in later] == ["temperature", "vector-scaling", "isotonic"]
    assert later[0].kept
    check = report.verification
    honest = forward(_model(_without_copies()), split(600, 3))
    assert check.before.value == pytest.approx(honest.loss.mean(), rel=1e-5)
    assert check.gain.value == pytest.approx(check.before.value - check.after.value, rel=1e-5)
    assert check.proven


def _without_copies() -> Subject:
    subject = leaking()
    clean = subject.train.subset(np.arange(200))
    return subject.replace(model=subject.recipe(clean, 0), train=clean)


# What may be seen.


def test_the_rows_that_fit_never_judge(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]) -> None:
    fitted: list[np.ndarray] = []
    judged: list[np.ndarray] = []
    remedy = known["temperature"]

    def watched(case: Case) -> Treated:
        assert case.subject.test is None
        fitted.append(case.subject.validation.ids)
        return remedy.apply(case)

    def seen(*arguments: Any, **settings: Any) -> Any:
        passed = forward(*arguments, **settings)
        judged.append(passed.rows)
        return passed

    report = audited(sure())
    known["temperature"] = dataclasses.replace(remedy, apply=watched)
    monkeypatch.setattr(bench, "forward", seen)
    treat(report)
    assert len(fitted) == 1
    assert len(judged) >= 2  # before and after; the control is the model before
    assert all(set(fitted[0]).isdisjoint(j) for j in judged)
    assert {*fitted[0], *judged[0]} == set(range(600))


class Watched(Split):
    """Says when its labels are read, or more of its rows than a trial of the shape needs."""

    def __init__(self, told: list[str], *arguments: Any) -> None:
        self.told = told
        super().__init__(*arguments)

    @property
    def y(self) -> np.ndarray | None:
        self.told.append("labels")
        return super().y

    def take(self, rows: np.ndarray) -> Any:
        self.told.append("a row" if len(rows) < 3 else "rows")
        return super().take(rows)


def test_outputs_on_test_are_not_seen_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]
) -> None:
    told: list[str] = []
    remedy, opened, proven, hashed = known["temperature"], ledger.open_test, verify.on_test, verify.test_rows

    def test_rows(context: Any) -> str:
        told.append("hashed")
        return hashed(context)

    def on_test(context: Any) -> Any:
        told.append("outputs")
        return proven(context)

    def open_test(rows: str, question: str) -> int:
        told.append("opened")
        return opened(rows, question)

    def apply(case: Case) -> Treated:
        told.append("applied")
        return remedy.apply(case)

    report = audited(sure())
    known["temperature"] = dataclasses.replace(remedy, apply=apply)
    monkeypatch.setattr(verify, "on_test", on_test)
    monkeypatch.setattr(verify, "test_rows", test_rows)
    monkeypatch.setattr(ledger, "open_test", open_test)
    monkeypatch.setattr(bench, "forward", _never_on_test)
    # Admission reads labels and hashes rows, as it must; from the first remedy on nothing of test is read but the rows'
    # own hash, by which the ledger knows them, until it has written the opening down.
    report = treat(report, subject=sure(test=Watched(told, *rows(600, 3))), remedies=["temperature"])
    opening = told.index("opened")
    assert set(told[told.index("applied") + 1 : told.index("hashed")]) <= {"a row"}
    assert "outputs" not in told[:opening]
    assert told[opening:].count("outputs") == 2  # the original and the final model, each once
    assert report.verification.proven


def _never_on_test(*arguments: Any, **settings: Any) -> Any:
    assert settings["name"] == "validation"
    return forward(*arguments, **settings)


# Openings.


def test_the_same_question_counts_once_and_another_is_dearer(known: dict[str, Any]) -> None:
    report = audited(sure())
    first, again = treat(report), treat("run", subject=sure())
    assert timeless(first) == timeless(again)
    assert again.verification.opening == 1

    # Another model on the same rows, in another order, in another folder.
    order = np.random.default_rng(0).permutation(600)
    x, y = rows(600, 3)
    other = small(scale=5.0, test=Split(x[order], y[order]))
    second = treat(audited(other, out="other"))
    assert second.verification.opening == 2
    assert second.verification.alpha == pytest.approx(first.verification.alpha / 4)
    assert "opening 2 of these test rows, tested at 0.76 %" in words.verified(second.verification)
    third = treat(audited(small(scale=6.0, test=split(600, 9)), out="third"))
    assert third.verification.opening == 1, "other rows have a count of their own"


def test_a_gain_that_test_does_not_confirm_is_not_claimed() -> None:
    """On test the confident model is right: what validation promised doesn't hold there."""
    x, _ = rows(600, 3)
    report = treat(audited(sure(test=Split(x, (x[:, 0] > 0).astype(int)))))
    check = report.verification
    assert not check.proven
    assert check.gain.value < 0
    assert words.verified(check).startswith("Not proven on test: log-loss changed by −")
    assert (only(report).stage, only(report).kept) == ("validation", True)


# Which run.


def test_a_changed_subject_is_not_treated() -> None:
    audited(sure())
    before = Path("run/report.json").read_bytes()
    message = r"run holds the run of another subject \(model differs\): audit this one into a folder of its own"
    with pytest.raises(BadInput, match=message):
        treat("run", subject=small(scale=3.9))
    with pytest.raises(BadInput, match=r"\(recipe differs\)"):
        treat("run", subject=sure(recipe=RECIPE.replace(epochs=4)))
    assert Path("run/report.json").read_bytes() == before


def test_a_report_without_a_folder() -> None:
    loose = dataclasses.replace(audited(sure()), folder=None)
    with pytest.raises(BadInput, match="this report belongs to no run folder: give the one that audit returned"):
        treat(loose)


def test_validation_set_aside_is_the_same_in_treatment() -> None:
    report = audited(sure(validation=None))
    treated = treat(report)
    assert treated.headline == report.headline
    assert only(treated).kept


def test_artifacts_that_are_gone_are_gathered_again() -> None:
    report = audited(sure())
    for artifact in Path("run/artifacts").iterdir():
        artifact.unlink()
    assert only(treat(report)).kept


def test_what_is_fitted_on_validation_comes_after_what_trains() -> None:
    """A temperature kept first would be undone by training again."""
    report = audited(sure(), probes=["miscalibration", "overfitting"])
    order = [remedy.id for remedy, _ in worth_trying(report.findings, ["temperature", "drop-examples"], 5.0)]
    assert order == ["drop-examples", "temperature"]


def test_training_again_does_not_silently_undo_a_temperature(known: dict[str, Any]) -> None:
    subject = sure()
    tempered = subject.replace(model=Tempered(as_model(subject.model, "classification"), 2.0))
    case = Case(tempered.without_test(), None, {"drop": [0, 1]}, "classification", 2, 0, np.random.default_rng(0))
    with pytest.raises(Unavailable, match="would undo"):
        known["drop-examples"].apply(case)


def test_training_again_does_not_silently_undo_an_offset(known: dict[str, Any]) -> None:
    subject = sure()
    moved = subject.replace(model=Offset(_model(subject), np.array([0.5, 0.0])))
    case = Case(moved.without_test(), None, {"drop": [0, 1]}, "classification", 2, 0, np.random.default_rng(0))
    with pytest.raises(Unavailable, match="an offset was kept before"):
        known["drop-examples"].apply(case)


def test_evidence_is_checked_before_anything_is_trained(known: dict[str, Any]) -> None:
    report = audited(sure())
    for evidence, what in (({"drop": ["nobody"]}, "no id of train"), ({"out_of_fold": [[1.0]]}, "shape")):
        known["drop-examples"] = dataclasses.replace(known["drop-examples"], apply=lambda case: 1 / 0)
        with pytest.raises(BadInput, match=what):
            treat(report, remedies=["drop-examples"], evidence=evidence)


def test_a_training_that_diverges_is_a_result(known: dict[str, Any]) -> None:
    def diverge(case: Case) -> Treated:
        raise UncorkError("training diverged at step 3")

    known["drop-examples"] = dataclasses.replace(known["drop-examples"], apply=diverge)
    report = treat(audited(sure(), probes=["miscalibration", "overfitting"]), remedies=["drop-examples", "temperature"])
    verdicts = {t.remedy: t.verdict for t in report.treatments}
    assert verdicts["drop-examples"] == "error"
    assert verdicts["temperature"] == "helps"


def test_the_same_models_under_another_metric_are_another_question() -> None:
    treat(audited(sure()))
    second = treat(audited(sure(metric="log-loss"), out="as-log-loss"))
    assert second.verification.opening == 2


def test_the_same_split_cannot_choose_and_prove() -> None:
    same = split(600, 3)
    with pytest.raises(BadInput, match="validation and test are the same Split"):
        audited(sure(validation=same, test=same))


def test_copies_of_test_in_validation_are_not_treated_on() -> None:
    report = audited(sure(validation=split(600, 3), test=split(600, 3)), probes=["leaked-examples"])
    assert report.finding("leaked-examples").verdict == "bottleneck"
    with pytest.raises(BadInput, match="600 of the 600 rows of test also stand in validation"):
        treat(report)


@pytest.mark.slow
def test_after_a_gates_remedy_nothing_stored_of_the_old_train_is_used(tmp_path: Path) -> None:
    x, y = rows(300, 1)
    test = split(600, 3)
    x[:40], y[:40] = test.take(np.arange(40)), test.y[:40]
    y[50:80] = 1 - y[50:80]
    report = audit(
        small(train=Split(x, y), test=test), out=tmp_path / "run", probes=["leaked-examples", "wrong-labels"]
    )
    assert report.finding("leaked-examples").verdict == "bottleneck"
    treated = treat(report, remedies=["deduplicate", "drop-examples"])
    assert {t.remedy: t.verdict for t in treated.treatments}["deduplicate"] == "closed"
    assert {t.remedy: t.verdict for t in treated.treatments}["drop-examples"] in ("helps", "undetermined", "hurts")
