"""A model that hands rows over: treated, proven on test, saved with its certificate, and the same again when loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_helpers import small, split
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from uncork import Split, Subject, audit, load_treated, treat
from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.guarded import Bounded, Guarded
from uncork.models.temperature import Tempered
from uncork.remedies.guard import bounded
from uncork.run.save import save_treated
from uncork.schema.certificate import Certificate


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def build() -> nn.Module:
    return nn.Linear(4, 2)


def guardable(**changes: Any) -> Subject:
    """Wrong where x is near 0 and right elsewhere, which its confidence knows: 90 % may be asked."""
    given = {"validation": split(1600, 2), "test": split(1600, 3), "classes": ("no", "yes")}
    return small(scale=2.0, **{**given, "require": {"precision": 0.9}, **changes})


def test_wrong_answers_fall_and_what_is_saved_answers_as_proven() -> None:
    strangers = Split(np.random.default_rng(9).normal(scale=3.0, size=(200, 4)).astype(np.float32))
    subject = guardable(strangers=strangers)
    report = audit(subject, out="run", probes=["unguaranteed-errors"])
    (finding,) = report.findings
    assert finding.verdict == "bottleneck"
    assert finding.remedies == ("guard",)
    (table,) = (d.data for d in finding.details if d.title == "Of 1,000 rows")
    assert table["columns"][1:] == ["right", "wrong", "handed over", "strangers answered, of 1,000"]

    assert treat(report, dry_run=True).treatments == ()  # on request only
    report = treat(report, remedies=["guard"])
    (treatment,) = report.treatments
    assert (treatment.verdict, treatment.kept, treatment.stage, treatment.safety) == ("helps", True, "test", "safe")
    assert report.verification.proven
    assert report.verification.yardstick == "wrong-answers"
    assert treatment.predicted.value == pytest.approx(treatment.realised.value, abs=45)  # s.e. of either about 12
    assert "of 1,000 strangers" in treatment.changes

    again = load_treated("run", build)
    out = again.outputs(subject.test.take(np.arange(1600)))
    wrong = out.answered & (out.logits.argmax(axis=1) != subject.test.y)
    assert 1000 * wrong.mean() == pytest.approx(report.verification.after.value)
    # Certified on half of validation: on 1,600 rows of test it is not surely below what was promised.
    right = (out.logits.argmax(axis=1) == subject.test.y)[out.answered].mean()
    assert right > 0.9 - 2 * np.sqrt(0.09 / out.answered.sum())
    decisions = again.decide(subject.test)
    assert [d.answer for d in decisions if d.answer is not None] == [
        ("no", "yes")[k] for k in out.logits[out.answered].argmax(axis=1)
    ]
    assert [d.kind == "answer" for d in decisions] == out.answered.tolist()
    certificate = json.loads(Path("run/treated/treated.json").read_text())["model"]["certificate"]
    assert (certificate["precision"], certificate["confidence"]) == (0.9, 0.95)
    assert certificate["n"] == 1600 - treatment.on_validation.n  # certified on the half that does not judge
    assert again.inner.certificate.date == certificate["date"] != ""


def test_what_hands_rows_over_can_be_audited_again() -> None:
    """Its precision is that of its answers, which is no bottleneck any more."""
    subject = guardable()
    treat(audit(subject, out="run", probes=["unguaranteed-errors"]), remedies=["guard"])
    second = audit(subject.replace(model=load_treated("run", build)), out="second", probes=["unguaranteed-errors"])
    (finding,) = second.findings
    assert finding.estimates["precision"].n < 1600
    assert finding.verdict != "bottleneck"
    refused = treat(second, remedies=["guard"]).treatments[0]
    assert not refused.kept  # nothing is gained by guarding the same model twice


def net() -> Model:
    torch.manual_seed(0)
    return as_model(build(), "classification")


def estimator() -> Model:
    x = split(300, 5)
    return as_model(LogisticRegression().fit(x.take(np.arange(300)), x.y), "classification")


@pytest.mark.parametrize("fallback", [None, net, estimator])
@pytest.mark.parametrize("inner", [net, estimator, lambda: Tempered(net(), 0.2)], ids=["module", "estimator", "cooled"])
def test_it_is_the_same_when_loaded(inner: Any, fallback: Any, tmp_path: Path) -> None:
    """Bit for bit, features too, with a fallback and without; also with a temperature around it."""
    certificate = Certificate(0.62, 0.9, 0.95, 812, 61, 1000, "2026-01-31")
    left, other = (math.inf, None) if fallback is None else (0.45, fallback())
    model = Guarded(inner(), certificate, left=left, coverage=0.8, fallback=other)
    x = split(400, 7).take(np.arange(400))
    for around in (model, Tempered(model, 3.0)):
        save_treated(tmp_path, small(), around, [])
        again = load_treated(tmp_path, build)
        before, after = (m.outputs(x, features=True) for m in (around, again))
        assert np.array_equal(before.logits, after.logits)
        assert np.array_equal(before.answered, after.answered)
        assert (before.features is None) == (after.features is None)
        assert again.describe()["guard"]["threshold"] == 0.62
    assert 0 < before.answered.sum() < 400
    loaded = again.inner.inner
    assert isinstance(loaded, Guarded)
    assert loaded.certificate == certificate
    assert loaded.decide(x) == model.decide(x)


def test_intervals_are_the_same_when_loaded(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    y = x[:, 0] + x[:, 1] * np.random.default_rng(1).normal(size=300)
    given = Split(x, y)
    model = bounded(as_model(LinearRegression().fit(x, y), "regression"), given)
    save_treated(tmp_path, Subject(model, metric="rmse", test=given, validation=given), model, [])
    again = load_treated(tmp_path)
    assert isinstance(again.inner, Bounded)
    assert again.decide(given) == model.decide(x[:256]) + model.decide(x[256:])
    assert again.fingerprint() == model.fingerprint()
    assert (again.inner.n, again.inner.date) == (300, model.date)
    assert model.date
    unbounded = bounded(model.inner, given.subset(np.arange(20)))
    save_treated(tmp_path, Subject(model, metric="rmse", test=given, validation=given), unbounded, [])
    assert np.isinf(load_treated(tmp_path).inner.widths).all()
