"""What is scored sees a subject, decides without test, and says the same under the same seed."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config

from benchmarks.diagnosis import auditors
from benchmarks.diagnosis.auditors import AUDITORS, answers, flagged, gap_rule, present_width
from benchmarks.diagnosis.cases import COLUMNS, SAME, Answer, metric_of
from uncork import Report, Subject
from uncork.planted.data import SETS
from uncork.planted.faults import FAULTS
from uncork.planted.ground import Ground, lay
from uncork.probes._contract import registered
from uncork.schema.errors import UncorkError
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Headline

TRAINING = ("random-search", "gap-rules", "cleanlab")


class Forbidden:
    """Stands for test: whoever touches it fails."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"test was asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("test was counted")


@functools.cache
def ground(fault: str, severity: float) -> Ground:
    small = dataclasses.replace(SETS["digits"], epochs=4, train=200, validation=200, test=200, lr=1e-2)
    return FAULTS[fault].plant(lay(small, 0), severity).faulty


@functools.cache
def subject(fault: str, severity: float) -> Subject:
    made = ground(fault, severity)
    return made.subject(made.fit(0), metric=metric_of(10))


def without_test(fault: str, severity: float) -> Subject:
    return subject(fault, severity).replace(test=Forbidden())


@functools.cache
def told(auditor: str, fault: str, severity: float, seed: int) -> list[Answer]:
    return list(AUDITORS[auditor](without_test(fault, severity), seed))


@pytest.mark.parametrize("auditor", [name for name in AUDITORS if name != "uncork"])
def test_a_baseline_never_touches_test_and_follows_its_seed(auditor: str) -> None:
    first = told(auditor, "wrong-labels", 0.4, 0)
    assert all(isinstance(answer, Answer) for answer in first)
    if auditor not in TRAINING[:1]:  # twice the trainings for what the loop's own tests show
        assert list(AUDITORS[auditor](without_test("wrong-labels", 0.4), 0)) == first


def test_random_draws_the_whole_menu_and_differs_between_subjects() -> None:
    one, other = without_test("wrong-labels", 0.4), without_test("lr-over-30", 0.01)
    drawn = [[AUDITORS["random"](s, seed)[0].finding for seed in range(100)] for s in (one, other)]
    assert set(drawn[0]) == set(auditors.MENU)
    assert drawn[0] != drawn[1]
    assert not set(auditors.MENU) & set(COLUMNS)


def test_random_search_names_the_learning_rate_where_it_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = iter([("overfitting", 1.0), ("mistuned-training", 100.0), ("undertraining", 0.1)])

    def turn(recipe: Any, rng: np.random.Generator) -> tuple[str, Any, None]:
        finding, factor = next(turned)
        return finding, recipe.replace(lr=factor * recipe.lr), None

    monkeypatch.setattr(auditors, "_turned", turn)
    monkeypatch.setattr(auditors, "TRIALS", 3)
    (answer,) = AUDITORS["random-search"](without_test("lr-over-30", 0.01), 0)
    assert answer.finding == "mistuned-training"
    assert answer.headroom is not None
    assert answer.low is not None
    assert 10 < answer.low < answer.headroom


def test_random_search_spends_a_trial_on_what_diverges_and_abstains(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = []

    def diverge(*_: Any, **__: Any) -> None:
        spent.append(1)
        raise UncorkError("training diverged")

    monkeypatch.setattr("uncork.train.recipe.Recipe.fit", diverge)
    assert AUDITORS["random-search"](without_test("lr-over-30", 0.01), 0) == []
    assert len(spent) == auditors.TRIALS


def test_each_knob_is_turned_alone_and_width_from_where_it_is() -> None:
    recipe = ground("narrow-net", 8.0).recipe
    assert present_width(recipe) == 1 / 8
    assert present_width(ground("wrong-labels", 0.4).recipe) == 1.0
    seen: dict[str, set[Any]] = {}
    for i in range(200):
        finding, changed, width = auditors._turned(recipe, np.random.default_rng(i))
        names = [f.name for f in dataclasses.fields(recipe)]
        apart = [name for name in names if getattr(recipe, name) != getattr(changed, name)]
        apart += [] if width is None else ["width"]
        assert len(apart) == 1
        seen.setdefault(finding, set()).add(apart[0] if width is None else width)
    assert seen == {
        "mistuned-training": {"lr"},
        "undertraining": {"epochs"},
        "overfitting": {"weight_decay"},
        "missing-capacity": {2 / 8, 4 / 8},
    }
    unscalable = recipe.replace(build=lambda: None)
    assert {auditors._turned(unscalable, np.random.default_rng(i))[0] for i in range(50)} == {*seen} - {
        "missing-capacity"
    }


def test_gap_rules_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("UNDERFIT", 0.5), ("GAP", 2.0), ("UNDERFIT_NAME", "under"), ("GAP_NAME", "over")):
        monkeypatch.setattr(auditors, name, value)
    assert gap_rule(50, 100, 10) == [Answer("under")]  # half is enough
    assert gap_rule(49, 100, 10) == [Answer("over")]
    assert gap_rule(0, 20, 10) == [Answer("over")]
    assert gap_rule(5, 20, 10) == []
    assert gap_rule(9, 10, 10) == []  # validation is no worse than δ: nothing to mend
    assert gap_rule(0.5, 0.9, 0.02) == [Answer("under")]


def test_gap_rules_tell_a_net_that_cannot_fit() -> None:
    assert told("gap-rules", "lr-over-30", 0.01, 0) == [Answer(auditors.UNDERFIT_NAME)]


def test_cleanlab_flags_what_was_flipped() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    sure = np.full((300, 3), 0.02)
    sure[np.arange(300), y] = 0.96
    flipped = np.where(np.arange(300) < 30, (y + 1) % 3, y)
    assert flagged(flipped, sure) == pytest.approx(0.1)
    assert flagged(y, sure) == 0


def test_cleanlab_names_wrong_labels_by_share() -> None:
    (answer,) = told("cleanlab", "wrong-labels", 0.4, 0)
    assert answer.finding == "wrong-labels"
    assert answer.headroom is not None
    assert 200 < answer.headroom < 700
    assert (answer.low, answer.high) == (None, None)


def test_regression_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)).astype(np.float32)
    y = x[:, 0] + 0.1 * rng.normal(size=400)
    data = dataclasses.replace(
        SETS["digits"], kind="table", classes=0, load=lambda: (x, y), train=100, validation=100, epochs=2
    )
    made = lay(data, 0)
    it = made.subject(made.fit(0), metric=metric_of(0)).replace(test=Forbidden())
    monkeypatch.setattr(auditors, "TRIALS", 2)
    assert AUDITORS["cleanlab"](it, 0) == []
    assert AUDITORS["gap-rules"](it, 0) == [Answer(auditors.UNDERFIT_NAME)]
    assert all(answer.headroom > 0.02 for answer in AUDITORS["random-search"](it, 0))


def test_without_recipe_or_train_the_trained_baselines_abstain() -> None:
    bare = without_test("wrong-labels", 0.4).replace(recipe=None, train=None)
    assert [AUDITORS[name](bare, 0) for name in TRAINING] == [[], [], []]


def finding(id: str, verdict: Any = "bottleneck", value: float | None = None, **kind: Any) -> Finding:
    headroom = None if value is None else Estimate(value, value - 5, value + 5, "u", 9, "m")
    return Finding(id, kind.get("tier", "defect"), kind.get("column", "quality"), id, verdict, headroom)


def report(*findings: Finding, principal: tuple[str, ...] = ()) -> Report:
    return Report({}, Headline("error", 1.0, 0.0, 2.0, 9), principal, findings)


def test_a_report_is_read_in_order() -> None:
    found = [
        finding("wasted-compute", column="cost", value=3.0),
        finding("miscalibration", column="trust", value=40.0),
        finding("unguaranteed-errors", "clear", column="trust"),
        finding("scarce-data", value=90.0, tier="investment"),
        finding("overfitting", value=95.0),
        finding("undertraining", "undetermined", value=99.0),
        finding("wrong-labels", value=70.0),
        finding("wrong-family", value=72.0),
        finding("leaked-examples", tier="gate", value=11.0),
        finding("split-shift", tier="gate"),
    ]
    assert answers(report(*found, principal=("wrong-labels", "wrong-family"))) == [
        Answer("leaked-examples", 11.0, 6.0, 16.0),
        Answer("split-shift"),
        Answer("wrong-labels", 70.0, 65.0, 75.0),
        Answer("wrong-family", 72.0, 67.0, 77.0),
        Answer("overfitting", 95.0, 90.0, 100.0),
        Answer("scarce-data", 90.0, 85.0, 95.0),
        Answer("miscalibration"),  # its headroom is in another unit
        Answer("wasted-compute"),
    ]


def test_without_a_principal_finding_a_report_names_no_defect() -> None:
    found = [
        finding("overfitting", value=95.0),  # proven by itself, not once corrected for how many were looked at
        finding("scarce-data", value=90.0, tier="investment"),
        finding("miscalibration", column="trust"),
    ]
    assert answers(report(*found)) == [Answer("scarce-data", 90.0, 85.0, 95.0), Answer("miscalibration")]
    assert answers(report()) == []


def test_every_probe_has_the_column_that_scores_take_it_for() -> None:
    for probe in registered().values():
        gate = probe.tier == "gate" and probe.id not in SAME  # what is asked under another name counts as that
        column = "gate" if gate else probe.column
        assert COLUMNS.get(probe.id, "quality") == column, probe.id


def test_uncork_is_given_a_folder_and_a_ledger_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def audit(it: Any, **settings: Any) -> Report:
        seen.update(settings, state=os.environ["UNCORK_STATE"], threads=torch.get_num_threads(), it=it)
        assert Path(seen["state"]).is_dir()
        return report(finding("wrong-labels", value=70.0), principal=("wrong-labels",))

    monkeypatch.setattr(auditors, "audit", audit)
    monkeypatch.setenv("UNCORK_STATE", "/the/users/own")
    assert AUDITORS["uncork"](subject("wrong-labels", 0.4), 7) == [Answer("wrong-labels", 70.0, 65.0, 75.0)]
    assert (seen["seed"], seen["budget"], seen["threads"]) == (7, auditors.BUDGET, 1)
    assert seen["out"].parent == Path(seen["state"])
    assert not Path(seen["state"]).exists()
    assert os.environ["UNCORK_STATE"] == "/the/users/own"
    monkeypatch.delenv("UNCORK_STATE")
    AUDITORS["uncork"](subject("wrong-labels", 0.4), 7)
    assert "UNCORK_STATE" not in os.environ


@pytest.mark.slow
def test_uncork_audits_a_case_inside_a_worker_of_loky() -> None:
    """As the runner does: the audit's processes are nested in the runner's. The labels of test are of no account."""
    it = subject("miscalibration", 3.0)
    poisoned = it.replace(test=it.test.with_y(np.roll(it.test.y, 1)))
    with parallel_config("loky", inner_max_num_threads=1):
        first, second = Parallel(n_jobs=2)(delayed(_audited)(s) for s in (it, poisoned))
    assert first == second
    assert "miscalibration" in [answer.finding for answer in first]


def _audited(it: Subject) -> list[Answer]:
    return list(AUDITORS["uncork"](it, 0))
