"""leaked-examples: planted copies are all counted, and nothing else is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from uncork.probes.leaked_examples import copies, measure
from uncork.schema.artifacts import FingerprintsData, PassData
from uncork.schema.finding import NotApplicable
from uncork.schema.seeds import generator
from uncork.testing.artifacts import a_pass, facts, fingerprints
from uncork.testing.measurements import check_measurement
from uncork.testing.probes import check_probe, verdict


def prints(leaked: int = 60, n: int = 600, **changes: Any) -> FingerprintsData:
    """2,000 rows of train; the last `leaked` rows of validation are copies of its first ones; test has no copy."""
    made = fingerprints(
        train=np.arange(2000),
        validation=np.r_[np.arange(5000, 5000 + n - leaked), np.arange(leaked)],
        test=np.arange(9000, 9500),
        spiked=(100, 97),
    )
    return dataclasses.replace(made, **changes)


def given(found: FingerprintsData, validation: PassData | None = None, **known: Any) -> dict[str, Any]:
    passed = a_pass(len(found.validation), error=0.1) if validation is None else validation
    return {"fingerprints": found, "validation": passed, "facts": facts(**known)}


def test_keeps_the_contract_and_never_alarms_without_copies() -> None:
    check_probe(measure, lambda: given(prints()), null=lambda seed: given(prints(0), a_pass(600, error=0.1, seed=seed)))


def test_copies_are_counted_exactly() -> None:
    found = measure(**given(prints()), rng=generator(0))
    assert found.estimates["validation_copies"].value == pytest.approx(100)
    assert found.estimates["test_copies"].value == 0
    assert found.against.estimate == "validation_copies"
    assert verdict(measure, given(prints())) == "bottleneck"


@pytest.mark.parametrize(("leaked", "expected"), [(0, "clear"), (3, "clear"), (4, "bottleneck")])
def test_the_gate_opens_beyond_five_in_a_thousand(leaked: int, expected: str) -> None:
    assert verdict(measure, given(prints(leaked))) == expected


def test_evidence_names_the_pairs() -> None:
    found = measure(**given(prints(2)), rng=generator(0))
    assert found.details[0].data["rows"] == [["validation", 598, 0], ["validation", 599, 1]]


def test_metric_is_shown_with_and_without_the_copies() -> None:
    """The 60 copies are all right and 54 of the other 540 rows are wrong, in whatever order the artifact is."""
    y = np.arange(600) % 2
    passed = PassData.of_logits(np.eye(2)[y ^ (np.arange(600) < 54)], y)
    for order in (np.arange(600), np.arange(600)[::-1]):
        found = measure(**given(prints(), passed.take(order)), rng=generator(0))
        assert found.estimates["metric_all"].value == pytest.approx(90)
        assert found.estimates["metric_without_copies"].value == pytest.approx(100)


def test_copies_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    rows, train = (rng.integers(2, size=(n, 16)).astype(np.uint8) * 255 for n in (400, 300))
    rows[:50], train[250:] = train[:50], rows[350:]
    rows[60] = 0  # trailing zero bytes are not padding
    train[60] = np.r_[np.zeros(15, np.uint8), 1]
    there = {row.tobytes() for row in train}
    assert np.array_equal(copies(rows, train), [row.tobytes() in there for row in rows])


def test_near_duplicates_and_the_positive_control_are_shares() -> None:
    pairs = np.array([[5, 8], [7, 8], [9, 30]])
    near = prints(0, near_pairs=pairs, near_split=np.ones(3, int), near_distance=np.full(3, 0.1), near_queried=(600, 0))
    found = measure(**given(near), rng=generator(0))
    assert found.estimates["validation_near"].value == pytest.approx(2 / 600 * 1000)  # two rows, three pairs
    assert "test_near" not in found.estimates
    assert found.estimates["near_found_of_planted"].value == pytest.approx(0.97)
    assert [row[1] for row in found.details[-1].data["rows"]] == [8, 8, 30]


@pytest.mark.parametrize(
    ("found", "known", "why"),
    [
        (prints(), {"has_inputs": False}, "only predictions"),
        (prints(train=np.zeros((0, 16), np.uint8)), {}, "no train split"),
    ],
)
def test_not_applicable_says_why(found: FingerprintsData, known: dict[str, Any], why: str) -> None:
    outcome = measure(**given(found, **known), rng=generator(0))
    assert isinstance(outcome, NotApplicable)
    assert why in outcome.reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("leaked", [0, 1, None])
def test_edge_cases(edge: PassData, leaked: int | None) -> None:
    n = int(edge.rows.max()) + 1
    artifacts = given(prints(n if leaked is None else leaked, n), edge)
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)


def test_no_test_split_and_a_sample_of_validation() -> None:
    artifacts = given(prints(test=np.zeros((0, 16), np.uint8)), a_pass(600, error=0.1).take(np.arange(100, 600)))
    found = measure(**artifacts, rng=generator(0))
    check_measurement(measure, found, artifacts)
    assert "test_copies" not in found.estimates
