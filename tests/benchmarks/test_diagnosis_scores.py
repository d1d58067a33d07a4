"""Each rule of the scores on cases worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.diagnosis import page
from benchmarks.diagnosis.cases import Answer, Truth
from benchmarks.diagnosis.scores import (
    Record,
    best_baseline,
    best_of,
    class_of,
    commonest_right,
    compare,
    detection,
    false_alarm,
    gain_of,
    load,
    promises,
    reachable,
    regret,
    right,
    right_alarm,
    score,
    share,
)


def estimate(value: float | None, half: float = 4.0) -> dict[str, Any]:
    ends = (None, None) if value is None else (value - half, value + half)
    return {"value": value, "low": ends[0], "high": ends[1], "se": half / 2, "df": 4, "unit": "u", "n": 3, "method": ""}


def truth(
    oracle: float | None = 100.0,
    *findings: str,
    half: float = 4.0,
    column: str = "quality",
    delta: float = 10.0,
    metric: str = "error",
    **gains: float | None,
) -> dict[str, Any]:
    """By default a fault that costs 100 errors per 1,000: wrong labels. Gains by name, with _ for -."""
    planted = findings or (("wrong-labels",) if oracle is not None else ())
    undone = None if oracle is None else estimate(oracle, half)
    known = {name.replace("_", "-"): estimate(value) for name, value in gains.items()}
    found = Truth(column if planted else "healthy", planted, metric, "u", delta, estimate(200.0), undone, known)
    return json.loads(json.dumps(found.as_json()))


def record(told: dict[str, Any], *answers: Answer | str, key: str = "a", group: str = "", **other: Any) -> Record:
    made = tuple(Answer(a) if isinstance(a, str) else a for a in answers)
    return Record(key, group or key, other.pop("frozen", False), told, made, **other)


@pytest.mark.parametrize(
    ("told", "is_"),
    [
        (truth(None), "healthy"),
        (truth(9.9), "healthy"),
        (truth(-5.0), "healthy"),
        (truth(5.0, half=14.9), "healthy"),
        (truth(5.0, half=15.0), "indifferent"),  # may be as much as 2 δ
        (truth(10.0), "indifferent"),  # δ itself
        (truth(20.0), "indifferent"),  # 2 δ itself
        (truth(20.1, half=4.0), "faulty"),
        (truth(25.0, half=15.0), "indifferent"),  # may be as little as δ
        (truth(25.0, half=14.9), "faulty"),
        (truth(50.0, half=60.0), "indifferent"),  # the oracle can't tell
        (truth(0.05, delta=0.02, half=0.01, metric="rmse"), "faulty"),
        (truth(0.05, delta=0.02, half=0.04, metric="rmse"), "indifferent"),
        (truth(50.0, "leaked-examples", column="gate"), "other"),
        (truth(0.0, "miscalibration", column="trust"), "other"),
    ],
)
def test_the_class_of_a_case_comes_from_what_its_plant_costs(told: dict[str, Any], is_: str) -> None:
    assert class_of(told) == is_


def test_an_oracle_that_is_unknown_makes_no_case_faulty() -> None:
    assert class_of({**truth(50.0), "oracle": estimate(None)}) == "indifferent"
    assert class_of({**truth(50.0), "oracle": {**estimate(50.0), "low": None}}) == "indifferent"


def test_right_is_what_recovers_four_fifths_of_the_oracle() -> None:
    told = truth(100.0, overfitting=80.0, undertraining=79.9, wrong_family=150.0, scarce_data=None)
    assert right(told, Answer("wrong-labels"))  # the plant, though it is not among the gains
    assert right(told, Answer("overfitting"))  # exactly .8
    assert right(told, Answer("wrong-family"))  # better than undoing the plant
    assert not right(told, Answer("undertraining"))
    assert not right(told, Answer("scarce-data"))  # tried, with no result
    assert not right(told, Answer("no-such-finding"))
    assert not right(told, None)
    small = truth(0.3, delta=0.02, metric="rmse", overfitting=0.8 * 0.3)  # .8 × .3 is no round number in binary
    assert right(small, Answer("overfitting"))


def test_of_two_plants_each_is_worth_what_mending_it_alone_gains() -> None:
    told = truth(100.0, "wrong-labels", "mistuned-training", wrong_labels=40.0, mistuned_training=85.0)
    assert not right(told, Answer("wrong-labels"))
    assert right(told, Answer("mistuned-training"))
    assert reachable(told)
    lost = truth(100.0, "shortcut-features", "wrong-labels", wrong_labels=60.0)
    assert gain_of(lost, "shortcut-features") is None
    assert not reachable(lost)


def test_the_commonest_right_answer_is_not_the_commonest_plant() -> None:
    records = [
        record(truth(100.0, "undertraining", mistuned_training=90.0)),
        record(truth(100.0, "wrong-labels")),
        record(truth(100.0, "wrong-labels")),
        record(truth(100.0, "mistuned-training", overfitting=10.0)),
        record(truth(100.0, "missing-capacity", mistuned_training=95.0)),
        record(truth(5.0, "wrong-labels")),
    ]
    assert commonest_right(records) == "mistuned-training"
    assert commonest_right([]) is None


def test_alarms_on_healthy_cases() -> None:
    told = truth(None, overfitting=9.9, wrong_family=10.0)
    assert not false_alarm(record(told))
    assert not right_alarm(record(told))
    assert not false_alarm(record(told, "miscalibration", "leaked-examples"))  # names nothing of the quality column
    for wrong in ("overfitting", "shortcut-features"):
        assert false_alarm(record(told, wrong, "wrong-family"))
        assert not right_alarm(record(told, wrong))
    assert right_alarm(record(told, "miscalibration", "wrong-family"))
    harmless = truth(8.0, wrong_family=30.0)  # its plant costs less than δ: naming it is a false alarm
    assert false_alarm(record(harmless, "wrong-labels"))


def test_regret_is_in_units_of_delta_against_the_best_that_was_tried() -> None:
    told = truth(100.0, wrong_family=120.0, overfitting=-30.0)
    assert best_of(told) == 120.0
    assert regret(record(told, "wrong-family")) == 0.0
    assert regret(record(told, "wrong-labels")) == pytest.approx(2.0)
    assert regret(record(told)) == pytest.approx(12.0)
    assert regret(record(told, "never-heard-of")) == pytest.approx(12.0)
    assert regret(record(told, "overfitting")) == pytest.approx(15.0)  # it does harm
    assert regret(record(truth(None, overfitting=-3.0))) == 0.0  # doing nothing is best
    assert regret(record(truth(None))) == 0.0
    small = truth(0.1, delta=0.02, metric="rmse")
    assert regret(record(small)) == pytest.approx(5.0)


def test_a_promise_is_kept_within_both_errors() -> None:
    # Predicted 70 ± 18, realised 100 ± 24: apart by 30 = √(18² + 24²).
    told = truth(100.0, half=24.0)
    (made,) = promises([record(told, Answer("wrong-labels", 70.0, 52.0, 88.0))])
    assert made.kept
    assert (made.realised, made.error) == (pytest.approx(10.0), pytest.approx(2.4))
    (missed,) = promises([record(told, Answer("wrong-labels", 69.9, 51.9, 87.9))])
    assert not missed.kept
    # The side of the interval that faces the realised gain counts: 70 (10 to 75) doesn't reach.
    (lopsided,) = promises([record(told, Answer("wrong-labels", 70.0, 10.0, 75.0))])
    assert not lopsided.kept


def test_promises_are_first_quality_answers_with_an_interval_and_a_known_gain() -> None:
    told = truth(100.0)
    whole = Answer("wrong-labels", 90.0, 70.0, 110.0)
    assert len(promises([record(told, "leaked-examples", whole)])) == 1
    assert not promises([record(told, "overfitting", whole)])
    assert not promises([record(told, Answer("wrong-labels", 90.0))])
    assert not promises([record(told, Answer("shortcut-features", 90.0, 70.0, 110.0))])
    assert not promises([record(told)])
    (made,) = promises([record(told, Answer("wrong-labels", None, 70.0, 110.0))])
    assert made.predicted == pytest.approx(9.0)


def test_scores_by_hand() -> None:
    told = truth(100.0, overfitting=85.0, scarce_data=0.0)
    records = [
        record(told, "wrong-labels", key="a"),
        record(told, "scarce-data", "x", "overfitting", key="b"),
        record(told, "scarce-data", "x", "y", "overfitting", key="c"),
        record(told, "miscalibration", key="d", error="it broke"),
        record(truth(15.0), "scarce-data", key="e"),  # neither faulty nor healthy
        record(truth(None), "scarce-data", key="f"),
        record(truth(None), key="g"),
        record(told, "wrong-labels", key="h", frozen=True),
    ]
    found = score("me", records, "open")
    assert (found.faulty, found.healthy, found.indifferent, found.errors, found.promised) == (4, 2, 1, 1, 0)
    assert found.top1.value == 0.25
    assert found.top3.value == 0.5
    assert found.abstained.value == 0.25
    assert found.false_alarms.value == 0.5
    assert found.regret.value == pytest.approx((0 + 10 + 10 + 10 + 0 + 0) / 6)
    assert found.slope is None
    assert found.top1.low is not None
    assert score("me", records, "frozen").top1.value == 1.0
    assert score("me", records, "both").faulty == 5
    nobody = score("me", [], "open")
    assert nobody.top1.value is None
    assert nobody.regret.value is None


def test_first_three_answers_of_quality_count_whatever_gates_stand_before_them() -> None:
    told = truth(100.0)
    found = score("me", [record(told, "leaked-examples", "irreproducible-recipe", "x", "y", "wrong-labels")], "both")
    assert (found.top1.value, found.top3.value) == (0.0, 1.0)


def test_a_shift_is_named_by_the_gate_that_asks_for_it(tmp_path: Path) -> None:
    """Right where it is planted, a false alarm where nothing is."""
    (tmp_path / "case").mkdir()
    answers = {"answers": [["split-shift", None, None, None]], "seconds": 1.0}
    (tmp_path / "case" / "me.json").write_text(json.dumps(answers))
    for told in (truth(100.0, "domain-shift"), truth(None)):
        case = {**told, "key": "case", "group": "g", "frozen": False}
        (tmp_path / "case" / "truth.json").write_text(json.dumps(case))
        (found,) = load(tmp_path)["me"]
        assert found.first is not None
        assert found.first.finding == "domain-shift"
        assert right(found.truth, found.first) if told["findings"] else false_alarm(found)


def test_intervals_are_over_groups_of_cases() -> None:
    told = truth(100.0)
    answers = ["wrong-labels" if i < 20 else "x" for i in range(40)]
    apart = [record(told, a, key=str(i)) for i, a in enumerate(answers)]
    together = [dataclasses.replace(r, group=str(i // 5)) for i, r in enumerate(apart)]  # groups of five agree
    mixed = [dataclasses.replace(r, group=str(i % 20)) for i, r in enumerate(apart)]  # each group half and half

    def width(records: list[Record]) -> float:
        found = score("me", records, "both").top1
        assert found.value == 0.5
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    assert width(together) > 1.8 * width(apart)
    assert width(mixed) <= width(together)
    assert share(apart, lambda r: True).low == pytest.approx(0.025 ** (1 / 40))  # Clopper–Pearson's


def test_comparison_is_paired_by_case_and_clustered() -> None:
    told = truth(100.0)
    ours = [record(told, "wrong-labels" if i % 4 else "x", key=str(i), group=str(i // 4)) for i in range(24)]
    theirs = [record(told, "wrong-labels" if i % 2 else "x", key=str(i), group=str(i // 4)) for i in range(24)]
    found = compare(ours, reversed(theirs))
    assert found.value == pytest.approx(0.75 - 0.5)
    assert found.n == 6
    healthy = record(truth(None), "x", key="healthy")
    assert compare([*ours, healthy], [*theirs, healthy]) == found
    assert compare(ours, theirs[:12]).n == 3
    assert compare(ours, []).value is None
    rivals = {"uncork": ours, "weak": [record(told, key=str(i)) for i in range(4)], "strong": theirs}
    assert best_baseline(rivals, "open") == "strong"
    assert best_baseline({"uncork": ours}, "open") is None


def test_gates_are_detected_where_planted_and_counted_elsewhere() -> None:
    leak = truth(20.0, "leaked-examples", column="gate")
    records = [
        record(leak, "wrong-labels", "leaked-examples", key="a"),
        record(leak, "wrong-labels", key="b"),
        record(truth(100.0), "leaked-examples", "wrong-labels", key="c"),
        record(truth(None), key="d"),
        record(truth(None), key="e"),
    ]
    ((finding, (there, elsewhere)),) = detection(records).items()
    assert finding == "leaked-examples"
    assert there.value == 0.5
    assert elsewhere.value == pytest.approx(1 / 3)
    assert detection([record(truth(100.0), "wrong-labels")]) == {}


def test_the_slope_of_honest_promises_is_one() -> None:
    rng = np.random.default_rng(0)
    records = []
    for i in range(60):
        gain = float(rng.uniform(30, 200))
        promised = gain + float(rng.normal(0, 20))
        answer = Answer("wrong-labels", promised, promised - 39.2, promised + 39.2)
        records.append(record(truth(gain), answer, key=str(i), group=str(i // 2)))
    found = score("me", records, "both")
    assert found.slope is not None
    assert found.slope.low is not None
    assert found.slope.high is not None
    assert found.slope.low < 1 < found.slope.high
    assert found.slope.value == pytest.approx(1, abs=0.15)
    assert found.coverage.value is not None
    assert found.coverage.value > 0.85
    assert found.width.value == pytest.approx(7.84)
    assert found.strata["below 2 δ"] is None  # nobody there
    assert score("me", records[:7], "both").slope is None


def test_records_are_read_as_they_are_written(tmp_path: Path) -> None:
    told = {**truth(100.0), "key": "digits--wrong-labels--0.4--0", "group": "digits/wrong-labels", "frozen": True}
    folder = tmp_path / told["key"]
    folder.mkdir()
    (folder / "truth.json").write_text(json.dumps(told))
    written = {"answers": [["wrong-labels", 90.0, 70.0, 110.0], ["x", None, None, None]], "seconds": 3.5, "error": ""}
    (folder / "uncork.json").write_text(json.dumps(written))
    ((name, (read,)),) = load(tmp_path).items()
    assert name == "uncork"
    assert read.answers == (Answer("wrong-labels", 90.0, 70.0, 110.0), Answer("x"))
    assert (read.key, read.group, read.frozen, read.seconds) == (told["key"], told["group"], True, 3.5)
    assert right(read.truth, read.first)
    assert load(tmp_path, [told["key"], "not-run"]) == {"uncork": [read]}
    assert load(tmp_path, []) == {}


def test_the_page_has_every_case_and_its_figure_is_well_formed(tmp_path: Path) -> None:
    def of(name: str) -> list[Record]:
        named = "wrong-labels" if name == "uncork" else "overfitting"
        return [
            record(truth(41.2, half=12.3), named, key="digits--wrong-labels--0.4--0"),
            record(truth(4.0), named, key="digits--wrong-labels--0.1--0"),
            record(truth(15.0), named, key="bank--wrong-labels--0.4--0", frozen=True),
            record(truth(0.05, "undertraining", delta=0.02, half=0.01, metric="rmse"), key="cal--few-steps--4--0"),
            record(truth(None), key="bank--healthy--0--0", frozen=True),
            record(truth(3.0, "leaked-examples", column="gate"), "leaked-examples", key="digits--leak--0.1--0"),
        ]

    page.write({name: of(name) for name in ("uncork", "a <rival>")}, tmp_path, designed=9)
    text = (tmp_path / "diagnosis.md").read_text()
    assert "| fault, severity | cal | digits | *bank* |" in text
    assert "| wrong-labels, 0.1 |  | 4 ± 4 · |  |" in text
    assert "| wrong-labels, 0.4 |  | 41 ± 12 | 15 ± 4 ~ |" in text
    assert "| few-steps, 4 | 50 ± 10 |  |  |" in text
    assert "| `uncork` | open | leaked-examples | 100 % " in text
    assert ET.parse(tmp_path / "diagnosis.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "{" not in text
    assert "6 cases of 9" in text.replace("\n", " ")
