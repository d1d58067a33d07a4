"""The figures that every treatment shows beside its gain, against values that are known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from treat_helpers import ALL, PARTS, Draws, Here, Table, World, a_finding, answering, bench_of, trains

from uncork import Metric, Split, Subject
from uncork.gather.forward import forward
from uncork.models.base import Output
from uncork.run.admit import admit
from uncork.run.figures import churn, figures, of_the_model, side_effects
from uncork.schema.artifacts import PassData

ERROR = Metric("error")


def test_the_worst_class_and_its_error() -> None:
    """Class 0 of 300 rows has 30 wrong, class 1 of 100 has 25 wrong, and of class 2 there is no row."""
    y = np.repeat([0, 1], [300, 100])
    decided = y.copy()
    decided[:30], decided[300:325] = 1, 2
    found = figures(ERROR, PassData.of_logits(4.0 * np.eye(3)[decided], y))
    assert found["worst class"].value == 0.25
    assert found["worst class"].low < 0.25 < found["worst class"].high
    assert found["error"].value == pytest.approx(1000 * 55 / 400)


def test_a_regression_has_its_metric_alone() -> None:
    assert set(figures(Metric("mae"), PassData.of_values(np.zeros(50), np.ones(50)))) == {"mae"}


def test_what_is_handed_over_is_shown_where_something_is() -> None:
    y, logits = np.zeros(200, np.int64), np.tile([1.0, 0.0], (200, 1))
    whole = PassData.of_logits(logits, y)
    some = PassData.of_logits(logits, y, answered=np.arange(200) >= 30)
    assert "handed over" not in {effect.name for effect in side_effects(ERROR, whole, whole)}
    (effect,) = (effect for effect in side_effects(ERROR, whole, some) if effect.name == "handed over")
    assert (effect.before.value, effect.after.value) == (0, 150)


def test_the_churn_of_three_trainings() -> None:
    """One of three decides otherwise on 40 of 400 rows: two of three pairs differ there."""
    y = np.zeros(400, np.int64)
    other = np.where(np.arange(400) < 40, -1.0, 1.0)
    passes = [PassData.of_logits(np.stack([m, -m], axis=1), y) for m in (np.ones(400), other, np.ones(400))]
    found = churn(passes)
    assert found.value == pytest.approx(1000 * 2 / 3 * 0.1)
    assert found.low < found.value < found.high
    assert churn(passes[:1]) is None
    assert churn([PassData.of_values(np.zeros(5), np.ones(5))] * 2) is None


def model_figures(tmp_path: Path, world: World, model: Any) -> dict[str, Any]:
    context = bench_of(world.subject(model), tmp_path).present
    return of_the_model(context, forward(context.model, context.split("validation")))


def test_membership_of_what_was_learnt_by_heart(tmp_path: Path) -> None:
    """Labels of train known for sure, the others guessed: AUC 1. A model that has seen neither: about .5."""
    world, rng = World(0, by_seed=0.0), np.random.default_rng(0)
    margin = rng.normal(size=ALL)
    margin[PARTS[2]] = 20.0
    known = model_figures(tmp_path, world, answering(world.y, margin))["membership"]
    assert known.value > 0.99
    # Interval of 95 %: fails correct code in 5 % of seeds.
    model = world.model(0)
    fresh = model_figures(tmp_path, world, model)["membership"]
    assert fresh.low < 0.5 < fresh.high
    at = np.r_[PARTS[2], PARTS[0]]
    loss = np.logaddexp(0, model.logits[at, 1 - world.y[at]] - model.logits[at, world.y[at]])
    assert fresh.value == pytest.approx(roc_auc_score(np.arange(len(at)) < len(PARTS[2]), -loss), abs=1e-6)


def test_membership_needs_train(tmp_path: Path) -> None:
    world = World(0, by_seed=0.0)
    context = bench_of(world.subject(world.model(0), train=None), tmp_path).present
    assert set(of_the_model(context, forward(context.model, context.split("validation")))) == {
        "latency of one row",
        "error under noise",
    }


class Slow(Table):
    """Takes 2 ms a batch."""

    def outputs(self, batch: Any, features: bool = False) -> Any:
        time.sleep(0.002)
        return super().outputs(batch, features)


def test_latency_of_a_slow_model(tmp_path: Path) -> None:
    world = World(0, by_seed=0.0)
    slow, quick = (model_figures(tmp_path, world, kind(world.model(0).logits)) for kind in (Slow, Table))
    assert slow["latency of one row"].low >= 2
    assert quick["latency of one row"].value < 1
    assert slow["latency of one row"].unit == "ms"


def test_a_treatment_shows_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Churn is that of the control's models and of the remedy's; the others are of the model before and the first."""
    monkeypatch.setattr("uncork.run.trained.code_fingerprint", lambda _: "")
    world = World(3, by_seed=0.0)
    bench = bench_of(world.subject(world.model(0)), tmp_path)
    attempt = bench.attempt(trains(Draws(world, 1), lambda subject, seed: world.model(7)), a_finding())
    effects = {effect.name: effect for effect in attempt.treatment.side_effects}
    assert set(effects) == {
        *("error", "log-loss", "calibration error", "worst class"),
        *("latency of one row", "error under noise", "membership", "retraining churn"),
    }
    assert effects["retraining churn"].before.value == 0, "the control's models are all the same"
    rows = PARTS[0]
    decided = [c.model.logits[rows].argmax(axis=1) for c in attempt.after]
    apart = np.mean([(decided[i] != decided[j]).mean() for i in range(3) for j in range(i)])
    assert effects["retraining churn"].after.value == pytest.approx(1000 * apart)
    wrong = [1000 * (m.logits[rows].argmax(axis=1) != world.y[rows]).mean() for m in (world.model(0),)]
    assert effects["error"].before.value == pytest.approx(wrong[0])
    assert effects["error"].after.value == pytest.approx(1000 * (decided[0] != world.y[rows]).mean())


class Sign:
    """Decides by the sign of the first column, whatever the other, and by nothing else."""

    task, has_inputs, accepts_nan, classes, n_outputs = "classification", True, False, None, 2

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return Output(np.stack([-batch[:, 0], batch[:, 0]], axis=1).astype(np.float32))

    def fingerprint(self) -> str:
        return "sign"

    def describe(self) -> dict[str, Any]:
        return {"kind": "sign", "parameters": None, "bytes": None, "feature_layer": None, "features": "", "note": ""}


def test_noise_is_a_tenth_of_each_columns_deviation(tmp_path: Path) -> None:
    """Of a standard normal column noise of .1 turns arctan(.1)/π = 31.7 of 1,000 signs; the other column is 1,000 times
    as wide. 2,000 rows; chance of failing: 5 % of seeds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 2)) * [1.0, 1000.0]
    y = (x[:, 0] > 0).astype(int)
    parts = [Split(x[i::2].astype(np.float32), y[i::2]) for i in range(2)]
    context = admit(
        Subject(Sign(), test=parts[0], validation=parts[1]), describe_only=False, seed=0, fan=Here()
    ).context
    found = of_the_model(context, forward(context.model, context.split("validation")))["error under noise"]
    assert found.low < 1000 * np.arctan(0.1) / np.pi < found.high
    assert found.n == 2000
    whole = context.of(
        context.subject.replace(validation=Split(np.arange(9)[:, None], np.arange(9) % 2)), context.model
    )
    assert "error under noise" not in of_the_model(whole, forward(whole.model, whole.split("validation")))
