from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.certificate import Certificate
from uncork.stats.selective import (
    GRID,
    answered_share,
    cascade,
    fewest_rows,
    learn_then_test,
    risk_coverage,
    rows_needed,
)


def population(rows: int, seed: int, error_at_top: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and correctness of a fixed, finite population; overconfident, so that precision is not given."""
    rng = np.random.default_rng(seed)
    confidence = 1 - 0.6 * rng.beta(0.5, 3, rows)
    return confidence, rng.random(rows) < np.clip(confidence - 0.03, 0, 1 - error_at_top)


def broken(confidence: np.ndarray, correct: np.ndarray, n: int, precision: float, draws: int, seed: int) -> int:
    """How often a certificate's threshold answers the whole population with less than the precision promised.

    Calibrated on draws WITH REPLACEMENT, scored on the fixed population.
    """
    rng = np.random.default_rng(seed)
    count = 0
    for _ in range(draws):
        rows = rng.integers(len(confidence), size=n)
        threshold = learn_then_test(confidence[rows], correct[rows], precision=precision).threshold
        count += threshold is not None and correct[confidence >= threshold].mean() < precision
    return count


@pytest.mark.parametrize(("n", "precision"), [(300, 0.9), (1000, 0.95)])
def test_guarantee(n: int, precision: float) -> None:
    """Broken in at most 5 % of 400 draws. Chance of failing correct code 1e-4."""
    confidence, correct = population(20_000, 0)
    assert accept(400 - broken(confidence, correct, n, precision, 400, 1), 400, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000, 5000])
@pytest.mark.parametrize("precision", [0.9, 0.95, 0.97, 0.99])
def test_guarantee_at_length(n: int, precision: float) -> None:
    """2,000 draws each."""
    confidence, correct = population(20_000, 1, error_at_top=0.02)
    assert accept(2000 - broken(confidence, correct, n, precision, 2000, 2), 2000, 0.95)


@pytest.mark.parametrize(
    ("share", "error"),
    [
        ([0.15, 0.2, 0.65], [0.101, 0.101, 0.101]),  # every threshold just misses what is asked
        ([0.145, 0.2, 0.655], [0.15, 0.07, 0.2]),  # the surest are the worst
        ([0.145, 0.855, 0.0], [0.0, 0.121, 0.1]),  # the strictest, seldom tested, is good; all the others are not
    ],
)
def test_guarantee_where_the_start_depends_on_how_many_are_answered(share: list[float], error: list[float]) -> None:
    """About 29 rows must be answered before a test can pass, and about as many are at the top level. 1,000 draws."""
    rng = np.random.default_rng(0)
    levels, share_, error_ = np.array([0.99, 0.9, 0.6]), np.array(share), np.array(error)
    misses = 0
    for _ in range(1000):
        drawn = rng.choice(3, 200, p=share_)
        found = learn_then_test(levels[drawn], rng.random(200) >= error_[drawn], precision=0.9)
        if found.threshold is not None:
            at = levels >= found.threshold
            misses += (share_ * error_)[at].sum() / share_[at].sum() > 0.1
    assert accept(1000 - misses, 1000, 0.95)


def fallback_by_hand(confidence: np.ndarray, correct: np.ndarray, precision: float, starts: list[int]) -> float | None:
    """The walk down the grid, each test an exact binomial of rows counted one by one."""
    lowest, spend, waiting = None, 0.0, list(starts)
    for t in GRID:
        at = confidence >= t
        m, errors = int(at.sum()), int((~correct[at]).sum())
        while waiting and m >= waiting[0]:
            spend += 0.05 / len(starts)
            waiting.pop(0)
        if spend == 0:
            continue
        if stats.binomtest(errors, m, 1 - precision, alternative="less").pvalue <= spend:
            lowest = t
        else:
            spend = 0.0
    return lowest


@pytest.mark.parametrize("seed", range(6))
def test_certificate_recounted(seed: int) -> None:
    """n = 700 at 90 %: three starts fit, of ⌈ln(.05/3) / ln .9⌉ = 39, 156 and 624 rows."""
    confidence, correct = population(700, seed)
    confidence = np.round(confidence, 3)  # with ties
    found = learn_then_test(confidence, correct, precision=0.9)
    expected = fallback_by_hand(confidence, correct, 0.9, [39, 156, 624])
    assert found.threshold == expected
    at = np.zeros(700, bool) if expected is None else confidence >= expected
    assert (found.answered, found.errors, found.n) == (at.sum(), (~correct[at]).sum(), 700)
    assert (found.precision, found.confidence) == (0.9, 0.95)


def test_one_error_among_the_surest_does_not_end_it() -> None:
    """Right in 99.7 % at every confidence, 10,000 rows: 99 % is all but certain, a single start would lose it."""
    rng = np.random.default_rng(0)
    confidence = rng.random(10_000)
    correct = np.ones(10_000, bool)
    correct[np.argsort(-confidence)[[5, *range(500, 10_000, 350)]]] = False
    found = learn_then_test(confidence, correct, precision=0.99)
    assert found.answered > 9_900


def test_order_of_rows_does_not_matter() -> None:
    confidence, correct = population(500, 4)
    confidence = np.round(confidence, 2)
    shuffled = np.random.default_rng(0).permutation(500)
    one = learn_then_test(confidence, correct, precision=0.9)
    assert one == learn_then_test(confidence[shuffled], correct[shuffled], precision=0.9)
    for ours, other in zip(
        risk_coverage(confidence, correct), risk_coverage(confidence[shuffled], correct[shuffled]), strict=True
    ):
        np.testing.assert_allclose(ours, other)


def test_none_where_nothing_can_be_promised() -> None:
    sure, right = np.full(1000, 0.9), np.ones(1000, bool)
    needed = math.ceil(math.log(0.05) / math.log(0.99))
    assert needed == 299
    assert learn_then_test(sure[:298], right[:298], precision=0.99).threshold is None
    assert learn_then_test(sure[:299], right[:299], precision=0.99).answered == 299
    assert learn_then_test(sure, np.arange(1000) % 10 > 0, precision=0.99).threshold is None
    assert learn_then_test(sure[:0], right[:0], precision=0.99).threshold is None


def test_everything_answered_where_all_is_right() -> None:
    found = learn_then_test(np.linspace(0.2, 1, 1000), np.ones(1000, bool), precision=0.99)
    assert (found.threshold, found.answered, found.errors) == (0.0, 1000, 0)


def test_grid_is_fixed_strict_first_and_reaches_both_ends() -> None:
    assert (np.diff(GRID) < 0).all()
    assert GRID[0] == pytest.approx(1 - 1e-7, abs=1e-12)
    assert GRID[-1] == 0


def test_answered_share_covers_in_spite_of_the_choice() -> None:
    """500 draws with replacement; DKW holds for all thresholds, so ≥ .95. Chance 1e-4."""
    confidence, correct = population(20_000, 0)
    rng = np.random.default_rng(3)
    held = certified = 0
    for _ in range(500):
        rows = rng.integers(20_000, size=400)
        found = learn_then_test(confidence[rows], correct[rows], precision=0.9)
        if found.threshold is None:
            continue
        share, certified = answered_share(found), certified + 1
        held += share.low <= float((confidence >= found.threshold).mean()) <= share.high
    assert certified > 400
    assert accept(held, certified, 0.95)


def test_answered_share_by_formula() -> None:
    found = answered_share(Certificate(0.8, 0.99, 0.95, 300, 1, 1000))
    half = math.sqrt(math.log(2 / 0.05) / 2000)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    none = answered_share(Certificate(None, 0.99, 0.95, 0, 0, 1000))
    assert (none.value, none.low, none.high) == (None, None, None)


Pair = tuple[np.ndarray, np.ndarray]


def two_models(rows: int, seed: int) -> tuple[Pair, Pair]:
    """(confidence, correct) of a model and of a better one that knows other rows, both too sure of themselves."""
    rng = np.random.default_rng(seed)
    ease = rng.random(rows)
    first = 1 - 0.6 * rng.beta(0.5, 2, rows) * (1 - 0.5 * ease)
    second = 1 - 0.6 * rng.beta(0.5, 5, rows) * (0.5 + 0.5 * ease)
    return (first, rng.random(rows) < first - 0.02), (second, rng.random(rows) < second - 0.02)


def answers_of(first: Pair, second: Pair, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(answered, right) row by row: the first where it is sure enough, else the second where it is."""
    answered, right = np.zeros(len(first[0]), bool), np.zeros(len(first[0]), bool)
    for i in range(len(answered)):
        for sure, correct in (first, second):
            if sure[i] >= threshold:
                answered[i], right[i] = True, correct[i]
                break
    return answered, right


@pytest.mark.parametrize("seed", range(4))
def test_cascade_counts_what_it_would_answer(seed: int) -> None:
    first, second = two_models(900, seed)
    first, second = ((np.round(sure, 2), right) for sure, right in (first, second))  # with ties
    found = cascade(*first, *second, precision=0.9)
    assert found.threshold is not None
    answered, right = answers_of(first, second, found.threshold)
    assert (found.answered, found.errors) == (answered.sum(), (answered & ~right).sum())
    alone = learn_then_test(*first, precision=0.9)
    assert found.answered > alone.answered
    silent = np.full(900, -1.0)
    assert cascade(*first, silent, second[1], precision=0.9) == alone


def broken_cascades(n: int, precision: float, draws: int, seed: int) -> tuple[int, int]:
    """(how often both together fall short on the fixed population, certificates), drawn with replacement."""
    first, second = two_models(2000, 9)
    rng, misses, certified = np.random.default_rng(seed), 0, 0
    right: dict[float, float] = {}
    for _ in range(draws):
        rows = rng.integers(2000, size=n)
        drawn = [(sure[rows], correct[rows]) for sure, correct in (first, second)]
        threshold = cascade(*drawn[0], *drawn[1], precision=precision).threshold
        if threshold is None:
            continue
        if threshold not in right:
            answered, correct = answers_of(first, second, threshold)
            right[threshold] = float(correct[answered].mean())
        misses, certified = misses + (right[threshold] < precision), certified + 1
    return misses, certified


def test_cascade_keeps_its_guarantee() -> None:
    """Broken in at most 5 % of 300 draws. Chance of failing correct code 1e-4."""
    misses, certified = broken_cascades(600, 0.93, 300, 5)
    assert certified > 150
    assert accept(300 - misses, 300, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000, 4000])
@pytest.mark.parametrize("precision", [0.9, 0.93, 0.96])
def test_cascade_keeps_its_guarantee_at_length(n: int, precision: float) -> None:
    """2,000 draws each."""
    misses, _ = broken_cascades(n, precision, 2000, 6)
    assert accept(2000 - misses, 2000, 0.95)


def test_rows_needed_are_about_enough() -> None:
    """One error in 400 can't certify 99 %. Where 200 rows can't certify 90 %, so many as are named do in most draws and
    a sixth of them in less than half: 60 draws each, fixed seeds."""
    sure, right = np.full(400, 0.9), np.arange(400) > 0
    assert learn_then_test(sure, right, precision=0.99).threshold is None
    needed = rows_needed(sure, right, precision=0.99)
    assert needed is not None
    assert needed > 400 > fewest_rows(0.99) == 299
    rng, (confidence, correct) = np.random.default_rng(0), population(20_000, 0)

    def certified(n: int) -> int:
        draws = [rng.integers(20_000, size=n) for _ in range(60)]
        return sum(learn_then_test(confidence[r], correct[r], precision=0.9).threshold is not None for r in draws)

    rows = rng.integers(20_000, size=200)
    found = rows_needed(confidence[rows], correct[rows], precision=0.9)
    assert found is not None
    assert certified(found) > 45
    assert certified(found // 6) < 30
    assert rows_needed(sure, np.arange(400) % 10 > 0, precision=0.99) is None


def test_aurc_equals_brute_force_over_orders_of_ties() -> None:
    """The mean over 5,000 random orders of the ties (chance of being 5 s.e. off: 6e-7)."""
    confidence = np.array([0.9, 0.9, 0.9, 0.7, 0.6, 0.6, 0.5])
    correct = np.array([True, False, True, True, False, True, False])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(5000):
        order = np.lexsort((rng.random(7), -confidence))
        wrong = ~correct[order]
        found.append(np.mean([wrong[: k + 1].mean() for k in range(7)]))
    coverage, risk, area = risk_coverage(confidence, correct)
    assert abs(area - np.mean(found)) < 5 * stats.sem(found)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(3 / 7)
    assert risk[2] == pytest.approx(1 / 3)


def test_aurc_without_ties_is_exact() -> None:
    confidence, correct = population(300, 8)
    order = np.argsort(-confidence)
    risks = [(~correct[order[:k]]).mean() for k in range(1, 301)]
    coverage, risk, area = risk_coverage(confidence, correct, points=20)
    assert area == pytest.approx(np.mean(risks))
    assert len(coverage) == 20
    np.testing.assert_allclose(risk, [risks[round(c * 300) - 1] for c in coverage])
