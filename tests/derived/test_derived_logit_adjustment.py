"""Logit adjustment: two normal classes, of which every error is known in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from uncork.derived import logit_adjustment
from uncork.derived.logit_adjustment import GRID, adjustment_gain, best_offset, right
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator

ERROR = Metric("error")
APART, TIMES = 2.0, 50.0
COUNTS = np.array([1000, 20])
LEAST = stats.binom.ppf(1e-3, 60, 0.95)  # of 60 intervals at 95 %: fewer hold the truth with a chance of 1 in 1,000


def drawn(
    n: int, seed: int, *, share: float = 0.5, factor: float = 1.0, copies: int = 1, times: float = TIMES
) -> PassData:
    """x ~ N(±1, 1); logits of the Bayes rule where class 0 is `times` as frequent, times `factor`. `share`: of class 1
    here. `copies`: each row so often, as a group."""
    rng = np.random.default_rng((seed, n))
    y = (rng.random(n) < share).astype(int)
    x = APART / 2 * (1 - 2 * y) + rng.normal(size=n)
    logits = factor * np.stack([APART * x + np.log(times), np.zeros(n)], axis=1)
    groups = np.repeat(np.arange(n), copies)
    return PassData.of_logits(logits[groups], y[groups], clusters=groups)


def gain_of(offset: np.ndarray, share: float = 0.5, factor: float = 1.0) -> float:
    """Errors per 1,000 that an offset saves in the population."""

    def error(by: float) -> float:
        threshold = -(np.log(TIMES) + by / factor) / APART
        missed, taken = stats.norm.cdf(threshold - APART / 2), stats.norm.sf(threshold + APART / 2)
        return float((1 - share) * missed + share * taken)

    return 1000 * (error(0.0) - error(float(offset[0] - offset[1])))


BAYES = gain_of(np.array([-np.log(TIMES), 0.0]))


@pytest.fixture
def offsets(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, float]]:
    """Every (offset, τ) that is chosen, as it is chosen."""
    chosen: list[tuple[np.ndarray, float]] = []

    def noted(*given: np.ndarray) -> tuple[np.ndarray, float]:
        chosen.append(best_offset(*given))
        return chosen[-1]

    monkeypatch.setattr(logit_adjustment, "best_offset", noted)
    return chosen


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_what_the_bayes_rule_gains_is_recovered_and_covered(
    offsets: list[tuple[np.ndarray, float]], factor: float
) -> None:
    """600 even rows, train 50 to 1. The truth is what the offsets chosen gain: the mean of both, of halves as large."""
    held, truths = 0, []
    for seed in range(60):
        found = adjustment_gain(drawn(600, seed, factor=factor), COUNTS, ERROR, generator(seed))
        truths.append(np.mean([gain_of(offset, factor=factor) for offset, _ in offsets[-2:]]))
        held += found.low <= truths[-1] <= found.high
    assert held >= LEAST
    assert 0.95 * BAYES < np.mean(truths) <= BAYES
    assert max(truths) <= BAYES
    taus = [tau for _, tau in offsets]
    assert np.median(taus) == pytest.approx(factor, abs=0.5)
    if factor > 1:
        assert min(taus) > 1


def test_with_the_same_shares_nothing_is_gained() -> None:
    """4,000 rows in train's shares: of 60 intervals more lie above 0 than the bound with a chance of 1 in 1,000."""
    above = covered = 0
    for seed in range(60):
        found = adjustment_gain(drawn(4000, seed, share=1 / 51), COUNTS, ERROR, generator(seed))
        above += found.low > 0
        covered += found.low <= 0 <= found.high
        assert found.high < 5
    assert above <= stats.binom.ppf(1 - 1e-3, 60, 0.025)
    assert covered >= LEAST


def test_shares_that_changed_the_other_way_are_left_alone() -> None:
    """Adjusting to a train that it was not trained on would lose: τ = 0 is chosen, and nothing is gained."""
    passed = drawn(2000, 0)
    offset, tau = best_offset(passed.logits, passed.y, COUNTS[::-1])
    assert tau == 0
    assert not offset.any()
    found = adjustment_gain(passed, COUNTS[::-1], ERROR, generator(0))
    assert found.value == 0
    assert found.low < 0 < found.high


def test_copies_count_as_groups(offsets: list[tuple[np.ndarray, float]]) -> None:
    """200 rows, each 10 times: as groups the truth is held, as rows too rarely."""
    held = {"groups": 0, "rows": 0}
    for seed in range(60):
        passed = drawn(200, seed, copies=10)
        for name, each in (("groups", passed), ("rows", dataclasses.replace(passed, clusters=passed.rows))):
            found = adjustment_gain(each, COUNTS, ERROR, generator(seed))
            truth = np.mean([gain_of(offset) for offset, _ in offsets[-2:]])
            held[name] += found.low <= truth <= found.high
            assert found.n == (200 if name == "groups" else 2000)
    assert held["groups"] >= LEAST
    assert held["rows"] < LEAST


def test_the_offset_by_brute_force() -> None:
    passed = drawn(300, 1)
    offset, tau = best_offset(passed.logits, passed.y, COUNTS)
    ones = int(passed.y.sum())
    log_ratio = np.log([(301 - ones) / 302, (ones + 1) / 302]) - np.log([1001 / 1022, 21 / 1022])
    np.testing.assert_allclose(offset, tau * log_ratio)
    hits = [((passed.logits.astype(float) + t * log_ratio).argmax(axis=1) == passed.y).sum() for t in GRID]
    assert tau == GRID[np.argmax(hits)]
    assert GRID[[0, 1, -1]].tolist() == [0, 0.25, 4]


def test_a_class_that_nobody_met_keeps_a_finite_offset() -> None:
    passed = PassData.of_logits(np.zeros((40, 3)), np.repeat([1, 2], 20))
    offset, _ = best_offset(passed.logits, passed.y, np.array([40, 0, 40]))
    assert np.isfinite(offset).all()


def test_rows_are_judged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    passed, offset = drawn(300, 2), np.array([-3.0, 0.5])
    whole = right(passed.logits, passed.y, offset)
    np.testing.assert_array_equal(whole, (passed.logits + offset).argmax(axis=1) == passed.y)
    monkeypatch.setattr(logit_adjustment, "_BLOCK", 7)
    np.testing.assert_array_equal(right(passed.logits, passed.y, offset), whole)


def test_accuracy_gains_as_much_and_the_order_of_rows_plays_no_part() -> None:
    passed = drawn(400, 3)
    by_error = adjustment_gain(passed, COUNTS, ERROR, generator(0))
    by_accuracy = adjustment_gain(passed, COUNTS, Metric("accuracy"), generator(0))
    assert (by_error.value, by_error.low, by_error.high) == (by_accuracy.value, by_accuracy.low, by_accuracy.high)
    assert by_accuracy.unit == Metric("accuracy").unit
    shuffled = passed.take(np.random.default_rng(0).permutation(400))
    assert adjustment_gain(shuffled, COUNTS, ERROR, generator(0)) == by_error


def test_halves_hold_every_class_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        logit_adjustment, "best_offset", lambda _, y, counts: (seen.append(np.bincount(y)), (0 * counts, 0.0))[1]
    )
    adjustment_gain(drawn(501, 4, share=0.03), COUNTS, ERROR, generator(0))
    assert np.abs(seen[0] - seen[1]).max() <= 1


def test_an_offset_is_judged_on_the_half_that_it_was_not_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fit always answers class 0, the second changes nothing: all is gained where the second was fitted."""
    fitted: list[tuple[np.ndarray, np.ndarray]] = []

    def fake(logits: np.ndarray, y: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, float]:
        fitted.append((logits, y))
        return np.array([1e4 if len(fitted) == 1 else 0.0, 0.0]), 1.0

    monkeypatch.setattr(logit_adjustment, "best_offset", fake)
    found = adjustment_gain(drawn(401, 5, times=1.0), COUNTS, ERROR, generator(0))
    gains = [(y == 0).sum() - (logits.argmax(axis=1) == y).sum() for logits, y in fitted]
    assert gains[0] != gains[1]
    assert found.value == pytest.approx(1000 * gains[1] / 401)


def test_a_single_unit_tells_nothing() -> None:
    for passed in (drawn(1, 0), drawn(1, 0, copies=10)):
        found = adjustment_gain(passed, COUNTS, ERROR, generator(0))
        assert (found.value, found.low, found.high, found.n) == (None, None, None, 1)
