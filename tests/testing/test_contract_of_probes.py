"""check_probe names the rule that a probe breaks, for every rule there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork.derived.confidence import confidence
from uncork.probes.miscalibration import measure as sound
from uncork.schema.artifacts import PassData
from uncork.schema.contract import PROBE_SECTIONS, Probe
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.testing.artifacts import a_pass, facts
from uncork.testing.documentation import missing_sections
from uncork.testing.probes import check_probe

HONEST = Estimate(0.1, 0.0, 0.2, "share", 10, "t over rows")


def artifacts(seed: int = 0) -> dict[str, Any]:
    return {"validation": a_pass(200, error=0.1, seed=seed), "facts": facts()}


def probe(measure: Callable[..., Any], **changes: Any) -> Probe:
    """A sound probe in all but its function."""

    def one_keyword_each(*, validation: PassData, facts: Any, rng: np.random.Generator) -> Any:
        outcome = measure(validation, rng)
        return Measurement({"it": outcome}) if isinstance(outcome, Estimate) else outcome

    return dataclasses.replace(sound, id="broken", **{"measure": one_keyword_each, **changes})


def says(estimate: Estimate) -> Callable[..., Estimate]:
    return lambda validation, rng: estimate


def with_detail(value: Any) -> Callable[..., Measurement]:
    data = {"columns": ["a"], "rows": [[value]]}
    return lambda validation, rng: Measurement({"it": HONEST}, details=(Detail("table", "evidence", data),))


def edits(validation: PassData, rng: Any) -> Estimate:
    validation.loss[0] += 1
    return HONEST


def edits_what_is_memoised(validation: PassData, rng: Any) -> Estimate:
    sure = confidence(validation)
    sure *= 0.5
    return dataclasses.replace(HONEST, value=float(sure.mean() / 10))


def draws_globally(validation: PassData, rng: Any) -> Estimate:
    np.random.random()  # noqa: NPY002
    return HONEST


def draws_from_torch(validation: PassData, rng: Any) -> Estimate:
    import torch

    torch.rand(1)
    return HONEST


def forgets_the_seed(validation: PassData, rng: Any) -> Estimate:
    return dataclasses.replace(HONEST, value=0.1 + 1e-12 * np.random.default_rng().random())


def first_row(validation: PassData, rng: Any) -> Estimate:
    return dataclasses.replace(HONEST, value=float(0.1 + validation.rows[0] / 1e6))


def writes_in_place(validation: PassData, rng: Any) -> Estimate:
    validation.loss[:] = validation.loss
    return HONEST


BROKEN = [
    (forgets_the_seed, "same seed"),
    (first_row, "another order"),
    (edits, r"\.loss'?.* read too"),
    (edits_what_is_memoised, "derived quantity"),
    (draws_globally, "global random"),
    (draws_from_torch, "global random"),
    (writes_in_place, "read-only"),
    (lambda validation, rng: NotApplicable("too small"), "not applicable"),
    (says(dataclasses.replace(HONEST, method="")), "method"),
    (says(dataclasses.replace(HONEST, unit="")), "unit"),
    (says(dataclasses.replace(HONEST, n=np.int64(10))), "whole number"),
    (says(dataclasses.replace(HONEST, low=0.1, high=0.1)), "zero width"),
    (says(dataclasses.replace(HONEST, low=0.2, high=0.0)), "upside down"),
    (says(dataclasses.replace(HONEST, value=0.3)), "outside"),
    (with_detail(float("nan")), "nan"),
    (with_detail(np.float64(1.0)), "float64"),
    (with_detail(np.ones(2)), "ndarray"),
    (with_detail((1, 2)), "tuple"),
    (with_detail({1: "a"}), "key 1"),
    (lambda validation, rng: Measurement({"it": HONEST}, against=Limit("that", at_most=1)), "judged by 'that'"),
    (lambda validation, rng: Measurement({}, headroom=dataclasses.replace(HONEST, method="")), "headroom"),
]


@pytest.mark.parametrize(("measure", "sentence"), BROKEN)
def test_each_rule_is_kept_watch_over(measure: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)^broken.*{sentence}"):
        check_probe(probe(measure), artifacts)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"doc": sound.doc.replace("References\n---", "Sources\n---")}, "References"),
        ({"requires": {"validation": sound.requires["validation"]}}, "declared"),
        ({"remedies": ("pray",)}, "pray"),
        ({"failure_title": sound.title}, "same title"),
    ],
)
def test_what_is_declared_is_checked(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_probe(probe(says(HONEST), **changes), artifacts)


def test_a_probe_that_keeps_the_rules_passes_and_counted_figures_need_no_width() -> None:
    check_probe(probe(says(HONEST)), artifacts)
    check_probe(probe(says(Estimate(5.0, 5.0, 5.0, "rows", 10, "counted over all rows"))), artifacts)


def test_false_alarms_are_counted() -> None:
    def alarms(validation: PassData, rng: Any) -> Measurement:
        wrong = float((validation.predicted != validation.y)[:5].mean())
        return Measurement({}, headroom=Estimate(50 + wrong, 40, 60, "errors per 1,000", 200, "t over rows"))

    with pytest.raises(AssertionError, match="20 false alarms in 20 null subjects, at most 5"):
        check_probe(
            probe(lambda v, rng: alarms(v.take(np.argsort(v.rows)), rng), column="quality"), artifacts, null=artifacts
        )


def test_a_heading_without_text_is_a_missing_section() -> None:
    doc = "\n\n".join(f"{s}\n----\nsome text" for s in PROBE_SECTIONS)
    assert missing_sections(doc, PROBE_SECTIONS) == []
    assert missing_sections(doc.replace("Example\n----\nsome text", "Example\n----"), PROBE_SECTIONS) == ["Example"]
    assert missing_sections(doc.replace("Estimator\n----", "Estimator\n===="), PROBE_SECTIONS) == ["Estimator"]
