from __future__ import annotations

import dataclasses

import pytest

from uncork.report import html, words
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Headline, Report, Treatment

from .handmade import (
    describe_only_report,
    empty_report,
    gates_report,
    nothing_applicable_report,
    quality_report,
    regression_report,
    treated_report,
    trust_report,
)

FIRST = "Of 1,000 predictions 83 are wrong (95 % interval 70 to 97; 1,250 test rows)."
LABELS = (
    "The principal bottleneck: Wrong training labels hold the model back. Mending it would remove 21 (9 to 33) of them."
)


def test_opening_of_a_quality_report() -> None:
    assert words.opening(quality_report()) == [FIRST, LABELS]


def test_open_gates_come_before_the_principal_and_say_what_they_spoil() -> None:
    assert words.opening(gates_report()) == [
        FIRST + " Without the test rows that also stand in train: 97 (84 to 111).",
        "Open gate: Test rows stand in train. Until it is closed, don't trust the headline and every figure "
        "measured on validation or test.",
        "Gates that were not settled, so may be open: split-shift (undetermined).",
        LABELS,
    ]


def test_an_unknown_gate_spoils_everything() -> None:
    gate = Finding("mine", "gate", "quality", "Mine", "bottleneck")
    assert words.shadow(gate) == "Until it is closed, don't trust any figure of this report."


def test_no_bottleneck_proven_names_the_threshold() -> None:
    assert words.principal(trust_report()) == (
        "No bottleneck of quality is proven: of 2 defects measured, none has a headroom that is surely above "
        "δ = 5 errors per 1,000 once corrected for how many were looked at."
    )
    nothing = "No bottleneck is proven: no defect of quality could be measured here."
    assert words.principal(nothing_applicable_report()) == nothing
    assert words.principal(empty_report()) == nothing


def test_a_set_is_listed_and_never_summed() -> None:
    report = dataclasses.replace(quality_report(), principal=("undertraining", "wrong-labels"))
    text = words.principal(report)
    assert text == (
        "These bottlenecks can't be told apart: More steps would help, 12 (6 to 18) errors per 1,000; "
        "Wrong training labels hold the model back, 21 (9 to 33) errors per 1,000. "
        "Mend them in this order: they overlap, so don't add them up."
    )
    assert "33 (" not in text


@pytest.mark.parametrize(
    ("rows", "seeds", "last"),
    [
        (4123, None, "about 4,100 rows would settle it"),
        (4123, 7, "about 4,100 rows or 7 seeds would settle it"),
        (None, 112, "about 110 seeds would settle it"),
        (None, None, "neither more rows nor more seeds alone would settle it"),
    ],
)
def test_what_would_settle_it(rows: int | None, seeds: int | None, last: str) -> None:
    room = Estimate(6.0, -3.0, 15.0, "errors per 1,000", 400, "t", 4.5, 20, seeds=5, se_seeds=3.0)
    found = Finding("a", "defect", "quality", "A", "undetermined", headroom=room, detectable=18.2)
    first = "a headroom under 18.2 would likely have gone unproven"
    found = dataclasses.replace(found, rows_to_settle=rows, seeds_to_settle=seeds)
    assert words.settle(found) == [first, last]
    assert f"{last}." in html.render(dataclasses.replace(quality_report(), findings=(found,), principal=()))


def test_what_would_settle_one_model_is_not_seeds() -> None:
    """A figure with no seeds behind it promises nothing of them; one that has none of it says the least."""
    room = Estimate(6.0, -3.0, 15.0, "errors per 1,000", 400, "t", 4.5, 20)
    found = Finding("a", "defect", "quality", "A", "undetermined", headroom=room, detectable=18.2)
    assert words.settle(found) == ["a headroom under 18.2 would likely have gone unproven"]
    trust = Finding("a", "defect", "trust", "A", "undetermined")
    assert words.settle(trust) == ["more rows would narrow the interval"]


def test_treated_says_what_was_kept_and_proven() -> None:
    report = treated_report()
    last = (
        "Tried 2 remedies; kept relabel. Proven on test: error is better by 18 (6 to 30) errors per 1,000 "
        "(opening 1 of these test rows, tested at 3.04 %)."
    )
    assert words.opening(report)[-1] == last
    unopened = dataclasses.replace(report, verification=None, treatments=report.treatments[1:2])
    assert words.opening(unopened)[-1] == (
        "No remedy helped: of 1 tried, none is surely better than both the model and its control on validation. "
        "The model stays; test was not opened."
    )


def test_describe_only_and_predictions_only_are_said() -> None:
    lines = words.opening(describe_only_report())
    assert lines[1].startswith("Only predictions were given")
    assert lines[2].startswith("Describe-only: everything is measured on all of test")


def first_line(headline: Headline) -> str:
    return words.opening(Report(subject={}, headline=headline, principal=(), findings=()))[0]


def test_other_metrics() -> None:
    assert words.opening(regression_report())[:2] == [
        "The model's rmse is 0.431 (95 % interval 0.401 to 0.463; 300 test rows).",
        "The principal bottleneck: Overfitting. Mending it would gain 0.021 (0.004 to 0.038) RMSE.",
    ]
    right = Headline("accuracy", 917, 903, 930, 1250, "right per 1,000")
    assert first_line(right) == "Of 1,000 predictions 917 are right (95 % interval 903 to 930; 1,250 test rows)."
    cost = Headline("cost", 412.0, 380.0, 450.0, 900, "cost per 1,000")
    assert first_line(cost) == "1,000 predictions cost 412 (95 % interval 380 to 450; 900 test rows)."
    loss = Headline("log-loss", 0.31, 0.28, 0.34, 900, "nats")
    assert first_line(loss) == "The model's log-loss is 0.310 nats (95 % interval 0.280 to 0.340; 900 test rows)."
    custom = Headline("profit", 7.0, None, None, 900, "profit")
    assert first_line(custom) == "The model's profit is 7 (95 % interval undetermined; 900 test rows)."
    nothing = Headline("auc", None, None, None, 3, "AUC", note="test has one class")
    assert first_line(nothing) == "The model's auc on test is undetermined (3 test rows). test has one class."


def test_a_gate_that_treatment_closed_is_said_to_be() -> None:
    base = gates_report()
    (gate,) = base.gates_open
    closed = Treatment("deduplicate", gate.id, "checked", "validation", "closed", kept=True)
    lines = words.opening(dataclasses.replace(base, treatments=(closed,)))
    assert lines[1].endswith("In the treated model deduplicate has closed it.")


def test_a_remedy_is_called_proven_only_where_test_confirmed_it() -> None:
    base = trust_report()
    finding = next(f for f in base.findings if f.verdict == "bottleneck" and f.column == "trust")

    def said(stage: str, verdict: str, *, opened: bool = True) -> str:
        kept = Treatment("temperature", finding.id, "safe", stage, verdict, kept=True)
        check = treated_report().verification if opened else None
        report = dataclasses.replace(base, treatments=(kept,), verification=check)
        return next(line for line in words.opening(report) if "Temperature " in line)

    assert said("test", "helps").endswith("Temperature helps, proven on test.")
    assert said("validation", "helps", opened=False).endswith("Temperature helps on validation.")
    for stage, verdict in (("test", "undetermined"), ("test", "hurts"), ("validation", "helps")):
        assert said(stage, verdict).endswith("Temperature was kept; test is not sure of it.")


def test_the_command_survives_a_shell() -> None:
    report = dataclasses.replace(quality_report(), folder="runs/my model; rm -rf ~")
    assert words.command(report, ["relabel"]) == "uncork treat 'runs/my model; rm -rf ~' --remedies relabel"
