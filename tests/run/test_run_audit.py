"""The audit as a whole: determinism, validation set aside from test, budgets, and failures that sink nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from run_helpers import BY_WALL_TIME, FAST, rows, small, split, timeless

from uncork import BadInput, Metric, Predictions, Split, Subject, audit
from uncork.gather._contract import Training
from uncork.probes._contract import registered
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.plan import make_plan
from uncork.schema.artifacts import Pass
from uncork.schema.pool import Pool
from uncork.schema.report import Report, json_schema

pytestmark = pytest.mark.usefixtures("in_this_process")

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "report.schema.json"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Every probe on the small subject."""
    return audit(small(), pool="off", out=tmp_path_factory.mktemp("whole") / "run", preview=True)


def admitted(subject: Subject, **settings: Any) -> Any:
    return admit(subject, **{"describe_only": False, "seed": 0, "fan": Executor(), **settings})


# Determinism.


def test_same_plan_same_seed_same_report() -> None:
    first, second = (audit(small(), out=f"run-{i}", probes=FAST, pool="off") for i in (1, 2))
    assert timeless(first) == timeless(second)
    written = [json.loads(Path(f"run-{i}/report.json").read_text()) for i in (1, 2)]
    assert list(written[0]) == list(written[1])
    plans = [json.loads(Path(f"run-{i}/plan.json").read_text()) for i in (1, 2)]
    assert all(plan.pop("timed").keys() == {"seconds_per_row", "training"} for plan in plans)
    assert plans[0] == plans[1]


# One that reads no pool, one that reads it in part and one whole; the rest takes minutes.
SOME = ("wrong-family", "split-shift", "mistuned-training")


PROBES = [p if p in SOME else pytest.param(p, marks=pytest.mark.slow) for p in registered() if p not in BY_WALL_TIME]


@pytest.mark.parametrize("id", PROBES)
def test_a_probe_does_not_depend_on_which_others_ran(id: str, whole: Report) -> None:
    alone = audit(small(), out="alone", probes=[id], pool="off")
    (mine,) = timeless(alone)["findings"]
    assert mine in timeless(whole)["findings"]


def reads_the_pool(id: str) -> bool:
    return any(isinstance(request, Pool) for request in registered()[id].requires.values())


@pytest.mark.slow
def test_with_the_same_engine_retraining_gives_the_same_report_whichever_probes_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uncork.run.examine.time_members", lambda *_: {"": Training(0.1)})
    first, second = (audit(small(), out=f"run-{i}", preview=True) for i in (1, 2))
    assert timeless(first) == timeless(second)
    # By design the arms of a plan inform each other of how trainings vary: without that, nothing else may differ.
    monkeypatch.setattr("uncork.gather.pool.seed_variances", lambda *_: {})
    first = audit(small(), out="without", preview=True)
    for id in filter(reads_the_pool, registered()):
        (mine,) = timeless(audit(small(), out=f"alone-{id}", probes=[id]))["findings"]
        assert mine in timeless(first)["findings"], id


def test_another_seed_changes_what_is_drawn_and_nothing_else(whole: Report) -> None:
    other = audit(small(), out="other", probes=["miscalibration"], seed=1)
    assert other.headline == whole.headline
    mine, theirs = other.finding("miscalibration"), whole.finding("miscalibration")
    assert mine.estimates["calibration_error"] == theirs.estimates["calibration_error"]
    assert mine.estimates["temperature_gain"] != theirs.estimates["temperature_gain"]


def test_nothing_global_is_drawn_from_or_changed() -> None:
    import torch

    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    subject = small()
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    subject.model.train()
    audit(subject, out="run", probes=FAST)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == expected  # noqa: NPY002
    assert subject.model.training


# Validation set aside from test.


def test_validation_is_carved_from_test() -> None:
    found = admitted(small(validation=None))
    subject = found.context.subject
    held, kept = subject.validation.ids, subject.test.ids
    assert set(held).isdisjoint(kept)
    assert sorted([*held, *kept]) == list(range(600))
    assert 240 < len(held) < 360
    assert found.notes == (
        f"No validation was given: {len(held)} of the 600 rows of test, drawn by a hash of their ids, were set aside "
        "for it; the figures of test are those of the rest.",
    )
    report = audit(small(validation=None), probes=["overfitting"])
    assert tuple(report.subject["notes"]) == found.notes
    assert report.headline.n == len(kept)


def test_groups_stay_together() -> None:
    groups = np.arange(600) // 10
    subject = admitted(small(validation=None, test=split(600, 3, groups=groups))).context.subject
    assert set(subject.validation.groups).isdisjoint(subject.test.groups)


def test_with_ids_the_order_of_rows_changes_nothing() -> None:
    x, y = rows(600, 3)
    ids = np.array([f"case-{i}" for i in range(600)])
    order = np.random.default_rng(0).permutation(600)
    halves = []
    for at in (np.arange(600), order):
        subject = admitted(small(validation=None, test=Split(x[at], y[at], ids=ids[at]))).context.subject
        halves.append((set(subject.validation.ids), set(subject.test.ids)))
    assert halves[0] == halves[1]


def test_describe_only_measures_all_of_test() -> None:
    report = audit(small(validation=None), probes=["overfitting"], describe_only=True)
    assert report.headline.n == 600
    assert report.subject["splits"] == {"train": 200, "validation": 600, "test": 600}
    assert report.subject["notes"] == ["Described on all of test: nothing can be chosen or treated on it afterwards."]


def test_validation_that_was_given_is_used() -> None:
    found = admitted(small())
    assert found.notes == ()
    assert len(found.context.subject.validation) == 600


# Budget.


def test_the_dearest_probe_goes_and_is_listed_with_its_price() -> None:
    report = audit(small(), budget=3.0, pool="off", out="run")
    left_out = [f for f in report.findings if f.reason.startswith("would take")]
    assert [f.id for f in left_out] == ["wrong-family"]
    assert left_out[0].reason.startswith("would take about 3 s more, and 3 s were given: try --budget ")
    assert left_out[0].reason.endswith(" or --probes wrong-family")
    assert report.plan["not_run"] == {"wrong-family": left_out[0].reason}
    assert json.loads(Path("run/plan.json").read_text())["not_run"] == report.plan["not_run"]


def test_gates_never_go() -> None:
    context = admitted(small()).context
    plan = make_plan(list(registered().values()), context, 1e-9)
    gates = {id for id, probe in registered().items() if probe.tier == "gate"}
    assert not gates & set(plan.not_run)
    assert gates
    assert plan.covering(Pass("validation")) is not None


def test_nested_requests_are_gathered_once() -> None:
    context = admitted(small()).context
    plan = make_plan(list(registered().values()), context, 1e9)
    wanted = [p.request for p in plan.planned]
    assert len(set(wanted)) == len(wanted)
    assert not any(a.covers(b) for a in wanted for b in wanted if a != b)


# What fails fails alone.


def test_a_gatherer_that_fails_sinks_only_its_own_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    from uncork.gather._contract import gatherers
    from uncork.schema.artifacts import Trial

    def burst(*_: object) -> None:
        raise ZeroDivisionError("the kettle burst")

    found = gatherers()[Trial]
    monkeypatch.setattr(
        "uncork.run.examine.gatherers", lambda: {**gatherers(), Trial: dataclasses.replace(found, gather=burst)}
    )
    report = audit(small(), pool="off", out="run")
    assert {f.id for f in report.findings if f.verdict == "error"} == {"wrong-family"}
    assert report.finding("wrong-family").reason.startswith("ZeroDivisionError: the kettle burst (in test_run_audit.py")


def test_a_probe_that_raises_is_a_finding_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registered()

    def broken(**_: object) -> None:
        raise RuntimeError("no idea")

    bad = dataclasses.replace(known["miscalibration"], measure=broken)
    monkeypatch.setattr("uncork.run.audit.registered", lambda: {**known, "miscalibration": bad})
    report = audit(small(), out="run", probes=FAST)
    assert report.finding("miscalibration").verdict == "error"
    assert report.finding("miscalibration").reason.startswith("RuntimeError: no idea (in test_run_audit.py, line ")
    assert [f.id for f in report.findings if f.verdict == "error"] == ["miscalibration"]
    assert "miscalibration" not in report.principal


def test_without_train_or_recipe_probes_say_why() -> None:
    report = audit(small(train=None, recipe=None), out="run")
    silent = {f.id: f.reason for f in report.findings if f.verdict == "not-applicable"}
    assert "no threat is declared" in silent.pop("adversarial-fragility")
    assert "no shifted split was given" in silent.pop("domain-shift")
    assert {"leaked-examples", "overfitting", "wrong-family"} <= set(silent)
    assert all("train" in reason for reason in silent.values())
    assert not [f for f in report.findings if f.verdict == "error"]


def test_unknown_settings() -> None:
    for settings, message in (
        ({"pool": 8}, "pool=8: give 'auto', 'off' to retrain nothing, or what Pool.from_predictions"),
        ({"backend": "threads"}, "backend 'threads' is not known: use one of loky, dask, ray"),
        ({"probes": []}, "no probe is named: choose from "),
    ):
        with pytest.raises(BadInput, match=message.replace("(", r"\(")):
            audit(small(), **settings)
    with pytest.raises(BadInput, match="int is no Subject: give Subject"):
        audit(3)  # type: ignore[arg-type]
    assert not Path("runs").exists()


# Kinds of subject.


def test_a_regression() -> None:
    from sklearn.linear_model import Ridge

    x = np.random.default_rng(0).normal(size=(900, 3))
    y = x[:, 0] + 0.1 * np.random.default_rng(1).normal(size=900)
    ridge = Ridge().fit(x[:300], y[:300])
    subject = Subject(ridge, train=Split(x[:300], y[:300]), test=Split(x[300:], y[300:]), metric="rmse")
    report = audit(subject, pool="off", out="run")
    assert (report.headline.unit, report.subject["task"]) == ("RMSE", "regression")
    assert report.headline.value == pytest.approx(0.1, rel=0.15)
    verdicts = {f.id: f.verdict for f in report.findings}
    assert verdicts["rare-classes"] == "not-applicable"
    assert verdicts["wrong-family"] in ("clear", "undetermined")
    assert "error" not in verdicts.values()


def test_an_estimator_with_string_labels() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = rows(900)
    names = np.where(y == 1, "yes", "no")
    model = LogisticRegression().fit(x[:300], names[:300])
    subject = Subject(model, train=Split(x[:300], names[:300]), test=Split(x[300:], names[300:]))
    report = audit(subject, out="run", probes=FAST)
    assert report.subject["classes"] == ["no", "yes"]
    wrong = model.predict(x[300:]) != names[300:]
    kept = admitted(subject).context.subject.test.ids
    assert report.headline.value == pytest.approx(1000 * wrong[kept].mean())
    assert not [f for f in report.findings if f.verdict == "error"]


def test_a_module_with_one_output() -> None:
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.4, 0, 0, 0]]))
        net[0].bias.zero_()
    one = audit(small().replace(model=net, recipe=None), out="one", probes=FAST)
    two = audit(small(recipe=None), out="two", probes=FAST)
    assert one.headline == two.headline
    assert one.subject["classes"] == ["0", "1"]
    error = "calibration_error"
    assert one.finding("miscalibration").estimates[error].value == pytest.approx(
        two.finding("miscalibration").estimates[error].value, abs=1e-3
    )


def test_data_frames() -> None:
    import pandas as pd

    def frame(n: int, seed: int) -> Split:
        x, y = rows(n, seed)
        return Split(pd.DataFrame(x, columns=list("abcd")), pd.Series(y))

    subject = small(train=frame(200, 1), validation=frame(600, 2), test=frame(600, 3))
    report = audit(subject, out="run", probes=FAST, pool="off")
    plain = audit(small(), out="plain", probes=FAST, pool="off")
    assert report.headline == plain.headline
    assert not [f for f in report.findings if f.verdict == "error"]


def test_predictions_of_two_classes_in_one_column() -> None:
    p = np.random.default_rng(0).random(800)
    y = (np.random.default_rng(1).random(800) < p).astype(int)
    report = audit(Subject(Predictions(), test=Split(p, y), metric="auc"), out="run", probes=FAST)
    assert report.headline.unit == "AUC"
    assert report.finding("miscalibration").verdict != "error"


def test_metrics_of_the_users_own() -> None:
    def share_wrong(p: np.ndarray, y: np.ndarray) -> float:
        return float((p.argmax(1) != y).mean())

    own = audit(
        small(metric=Metric(share_wrong, higher_is_better=False)), out="own", probes=["overfitting"], pool="off"
    )
    known = audit(small(), out="known", probes=["overfitting"], pool="off")
    assert own.headline.value == pytest.approx(known.headline.value / 1000)
    cost = audit(small(metric=np.array([[0, 5], [1, 0]])), out="cost", probes=["overfitting"], pool="off")
    assert cost.headline.unit == "cost per 1,000"


# report.json.


def test_report_json_fits_the_published_schema(whole: Report) -> None:
    assert whole.folder is not None
    content = json.loads((Path(whole.folder) / "report.json").read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    again = Report.from_json((Path(whole.folder) / "report.json").read_text())
    assert again.to_json() == whole.to_json()


def test_the_published_schema_is_the_codes() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), "make schema writes it again"
