"""Headroom is what averaging over views gains on rows that did not choose them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from uncork.derived.invariance import averaging_gain, best_way
from uncork.probes.missing_invariance import measure
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts
from uncork.testing.measurements import check_measurement
from uncork.testing.missing_invariance import an_invariance
from uncork.testing.probes import check_probe, verdict

TURNED = {"turned by 15°": 0.08, "mirrored": 0.4}


def given(**settings: Any) -> dict[str, Any]:
    data = an_invariance(**{"n": 800, "error": 0.15, "averaged": TURNED, **settings})
    return {"invariance": data, "facts": facts(classes=tuple("abcd"), class_counts=(100,) * 4)}


def null(seed: int) -> dict[str, Any]:
    """Four views whose means are no better than the rows as they are, but for chance."""
    return given(n=400, averaged={f"views {k}": 0.15 for k in range(4)}, seed=seed)


def test_keeps_the_contract() -> None:
    """At a true rate of 5 % the null fails with a chance below 1 in 1,000 (fixed seeds)."""
    check_probe(measure, given, null=null)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "bottleneck"),
        ({"averaged": {"mirrored": 0.5}}, "clear"),  # it loses on both halves: none is chosen
        ({"n": 60, "averaged": {"shifted": 0.13}}, "undetermined"),
    ],
)
def test_verdicts(settings: dict[str, Any], expected: str) -> None:
    assert verdict(measure, given(**settings)) == expected


def test_the_gain_is_counted_on_the_rows_that_did_not_choose() -> None:
    """Both halves choose the same views here, so that all rows are averaged over them: the plain paired difference."""
    data, metric = an_invariance(1000, error=0.15, averaged=TURNED), Metric("error")
    assert best_way(data, metric)[0] == 0
    before, after = ((logits.argmax(axis=1) != data.y).mean() for logits in (data.given, data.averaged[0]))
    assert averaging_gain(data, metric, generator(0)).value == pytest.approx(1000 * (before - after))


@pytest.mark.slow
def test_choosing_among_many_views_is_not_flattered() -> None:
    """Means over 60 draws, of views that gain nothing: chosen on the rows that judge they would seem to gain 4.

    Standard error .6: correct code fails with a chance below 1 in 1,000.
    """
    honest, naive = [], []
    for seed in range(60):
        data = an_invariance(500, error=0.15, averaged={f"views {k}": 0.15 for k in range(8)}, seed=seed)
        honest.append(averaging_gain(data, Metric("error"), generator(seed)).value)
        naive.append(best_way(data, Metric("error"))[1])
    assert np.mean(naive) > 2
    assert abs(np.mean(honest)) < 2


def test_only_views_that_keep_labels_count_as_violations() -> None:
    found = measure(**given(grounds="", lost=0.4), rng=generator(0))
    assert "violations" not in found.estimates
    assert found.estimates["mirrored"].low > 100
    stated = measure(**given(grounds="stated", lost=0.4), rng=generator(0))
    assert stated.estimates["violations"].low > 100
    assert "stated by you" in stated.details[0].data["rows"][0][1]


def test_nothing_is_promised_of_views_that_the_remedy_cannot_show() -> None:
    """Views that the user states gain 70; the one other kind loses, so that the remedy has nothing to gain."""
    artifacts = given(grounds="stated")
    artifacts["invariance"] = replace(artifacts["invariance"], grounds=("stated", ""))
    found = measure(**artifacts, rng=generator(0))
    assert found.headroom.low > 20
    assert found.estimates["test_time_augmentation_gain"].value == 0
    assert "test_time_augmentation_gain" not in measure(**given(), rng=generator(0)).estimates


@pytest.mark.parametrize("metric", ["log-loss", "accuracy", "auc"])
def test_any_metric(metric: str) -> None:
    artifacts = given(classes=2) if metric == "auc" else given()
    artifacts["facts"] = facts(metric=Metric(metric), classes=tuple("abcd"))
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)


def test_groups_are_the_unit() -> None:
    rows, grouped = (measure(**given(groups=groups), rng=generator(0)).headroom for groups in (None, 20))
    assert (rows.n, grouped.n) == (800, 20)


def test_too_few_rows() -> None:
    assert isinstance(measure(**given(n=30), rng=generator(0)), NotApplicable)
