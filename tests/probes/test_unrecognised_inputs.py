"""Strangers that pass for known rows: as many as were planted, whichever decide."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from uncork.probes.unrecognised_inputs import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.strangers import StrangersData
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict
from uncork.testing.strangers import strangers

RATE, MOST = 0.05, 0.1  # the requirements' defaults


def found(data: StrangersData) -> Measurement:
    outcome = measure(strangers=data, facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def judged(data: StrangersData) -> str:
    return verdict(measure, {"strangers": data, "facts": facts()})


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.0, 4.0])
def test_what_was_planted_is_found(apart: float) -> None:
    """4,000 strangers, half of which measure: 4 standard errors of share, threshold and AUROC; chance below 1e-3."""
    estimates = found(strangers(4000, 4000, apart=apart)).estimates
    passes = norm.cdf(norm.ppf(1 - RATE) - apart)
    threshold_sd = np.sqrt(RATE * (1 - RATE) / 2000) / norm.pdf(norm.ppf(RATE))
    slack = 4 * (np.sqrt(passes * (1 - passes) / 2000) + threshold_sd * norm.pdf(norm.ppf(1 - RATE) - apart)) + 1e-3
    assert estimates["unrecognised"].value == pytest.approx(passes, abs=slack)
    assert estimates["fpr95_probability"].value == estimates["unrecognised"].value  # the same rate by default
    assert estimates["auroc_probability"].value == pytest.approx(norm.cdf(apart / np.sqrt(2)), abs=0.04)
    assert estimates["false_rejection"].value == pytest.approx(RATE, abs=0.03)


def test_strangers_that_are_none_pass_as_often_as_known_rows() -> None:
    data = strangers(2000, 2000, apart=0.0)
    measured = found(data)
    share = measured.estimates["unrecognised"]
    assert share.low < 1 - RATE < share.high
    assert measured.estimates["auroc_probability"].low < 0.5 < measured.estimates["auroc_probability"].high
    assert judged(data) == "bottleneck"
    assert measured.headroom.value == pytest.approx(1000 * (share.value - MOST))


def test_strangers_that_are_told_are_clear() -> None:
    assert judged(strangers(apart=5.0)) == "clear"


@pytest.mark.parametrize("kind", ["uniform", "shuffled"])
def test_noise_alone_clears_no_model(kind: str) -> None:
    told, untold = strangers(apart=6.0, kind=kind), strangers(apart=0.0, kind=kind)
    assert found(told).estimates["unrecognised"].value == 0.0
    assert found(told).estimates["unrecognised"].high == 1.0
    assert judged(told) == "undetermined"
    assert judged(untold) == "bottleneck"


def test_given_strangers_decide_before_classes_left_out_and_noise() -> None:
    given, left_out, noise = strangers(), strangers(apart=5.0, classes=4), strangers(apart=5.0, kind="uniform")
    assert found(_beside(given, left_out, noise)).estimates["unrecognised"].value > 0.9
    assert found(_beside(given, noise, left_out)).details[0].data["rows"][0][0] == "given"
    without = _beside(left_out, noise)
    assert without.deciding == ("left-out",)
    assert found(without).estimates["unrecognised"].value < 0.01


def _beside(first: StrangersData, *others: StrangersData) -> StrangersData:
    """The rows of several, known rows of the model itself from the first alone."""
    parts = [first, *(_only(o, (o.model > 0) | ~o.of("known")) for o in others)]
    names = [f.name for f in dataclasses.fields(first) if isinstance(getattr(first, f.name), np.ndarray)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return dataclasses.replace(first, **{**joined, "clusters": np.arange(len(joined["kind"]))})


def _only(data: StrangersData, rows: np.ndarray) -> StrangersData:
    names = [f.name for f in dataclasses.fields(data) if isinstance(getattr(data, f.name), np.ndarray)]
    return dataclasses.replace(data, **{name: getattr(data, name)[rows] for name in names})


def test_few_classes_left_out_say_little() -> None:
    """The class is the unit: as many rows of three classes leave a far wider interval than of one population."""
    rows, classes = strangers(1000, 900, apart=2.0), strangers(1000, 300, apart=2.0, classes=3)
    own = np.array([0.0, -1.0, 0.0, 1.0])[classes.model] * classes.of("left-out")
    spread = dataclasses.replace(classes, strangeness=(classes.strangeness * np.exp(own)[:, None]).astype(np.float32))
    wide, narrow = (found(data).estimates["unrecognised"] for data in (spread, rows))
    assert wide.n == 3
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_another_score_promises_what_reject_would_gain() -> None:
    data = strangers(4000, 4000, apart=0.0, beside=5.0)
    measured = found(data)
    gain = measured.estimates["reject_gain"]
    assert gain.low < 0.95 < gain.high + 0.02
    assert "By knn 0 %" in measured.summary
    assert "reject_gain" not in found(strangers(apart=5.0, beside=0.0)).estimates


def test_of_a_model_that_hands_rows_over_the_answered_strangers_count() -> None:
    data = strangers(1000, 1000, apart=0.0)
    answered = np.where(data.of("known"), np.arange(2000) % 50 != 0, np.arange(2000) % 4 == 0)
    measured = found(dataclasses.replace(data, answered=answered))
    judges = ~data.chooses
    assert measured.estimates["unrecognised"].value == answered[judges & data.of("given")].mean()
    assert measured.estimates["false_rejection"].value == pytest.approx((~answered[judges & data.of("known")]).mean())
    assert "reject_gain" not in measured.estimates


def test_groups_of_strangers_are_the_units() -> None:
    data = strangers(2000, 2000, apart=1.5)
    clusters = np.where(data.of("given"), 5000 + np.arange(4000) // 100, np.arange(4000))
    share = found(dataclasses.replace(data, clusters=clusters)).estimates["unrecognised"]
    assert share.n == 20
    assert "Korn–Graubard" in share.method


@pytest.mark.parametrize(("kind", "seeds"), [("given", 20), ("left-out", 5)])
def test_keeps_the_contract(kind: str, seeds: int) -> None:
    classes = 4 if kind == "left-out" else 0

    def null(seed: int) -> dict[str, Any]:
        return {"strangers": strangers(500, 200, apart=3.5, kind=kind, classes=classes, seed=seed), "facts": facts()}

    planted = {"apart": 1.0, "beside": 2.0, "kind": kind, "classes": classes}
    check_probe(measure, lambda: {"strangers": strangers(**planted), "facts": facts()}, null=null, seeds=seeds)


@pytest.mark.parametrize("settings", [{"n": 60, "m": 4}, {"n": 60, "m": 30}, {"classes": 1}, {"apart": 50.0}])
def test_edges_are_answered(settings: dict[str, Any]) -> None:
    artifacts = {"strangers": strangers(**settings), "facts": facts()}
    check_measurement(measure, measure(**artifacts, rng=np.random.default_rng(0)), artifacts)


def test_not_applicable() -> None:
    none = _only(strangers(missing={"given": "none were given"}), strangers().of("known"))
    outcome = measure(strangers=none, facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(outcome, NotApplicable)
    assert outcome.reason == "none were given"
    few = measure(strangers=strangers(20), facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(few, NotApplicable)
    assert "too few" in few.reason
