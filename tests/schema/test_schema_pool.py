"""Requests nest, shrink in a stated order, and what a smaller one gets is the same."""

from __future__ import annotations

import numpy as np
import pytest

from uncork.schema.artifacts import Facts
from uncork.schema.pool import QUESTIONS, Pool
from uncork.testing.pools import a_pool


def test_a_pool_covers_what_asks_for_less() -> None:
    large = Pool(halves=8, quarters=4, full=3, questions=("tuning", "labels"))
    assert large.covers(Pool(halves=4, questions=("labels",)))
    assert large.covers(Pool())
    assert not large.covers(Pool(eighths=8))
    assert not large.covers(Pool(questions=("steps",)))
    assert not large.covers(Facts())


def test_merging_covers_both_and_within_is_what_both_have() -> None:
    one, other = Pool(halves=8, questions=("tuning",)), Pool(halves=4, full=3, questions=("labels",))
    both = one.merged(other)
    assert both == Pool(halves=8, full=3, questions=("labels", "tuning"))
    assert both.covers(one)
    assert both.covers(other)
    assert one.within(other) == Pool(halves=4)


def test_the_order_in_which_questions_are_given_is_no_other_request() -> None:
    assert Pool(questions=("tuning", "labels")).key() == Pool(questions=("labels", "tuning")).key()


@pytest.mark.parametrize(
    "asked", [{"halves": 3}, {"quarters": 2}, {"eighths": 4}, {"full": -1}, {"questions": ("why",)}]
)
def test_what_makes_no_sense_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="whole permutations"):
        Pool(**asked)


def test_what_matters_least_goes_first_until_nothing_is_left() -> None:
    pool: Pool | None = Pool(halves=16, quarters=4, eighths=8, full=8, questions=tuple(QUESTIONS))
    seen, gone = [], []
    while pool is not None and (smaller := pool.smaller()) is not None:
        assert pool.covers(smaller)
        assert not smaller.covers(pool)
        gone += [name for name in pool.without(smaller) if name in QUESTIONS]
        seen.append(smaller)
        pool = smaller
    assert gone == ["excess", "balance", "capacity", "steps", "regularisation", "tuning", "labels"]
    assert (seen[0].full, seen[0].questions) == (3, tuple(QUESTIONS))
    assert seen[-1] == Pool()
    assert Pool(halves=4, full=3, questions=("labels", "tuning")) in seen
    assert seen[-2] == Pool(full=3)


def test_what_is_left_out_is_named_with_its_arms() -> None:
    large, small = Pool(halves=8, full=3, questions=("tuning",)), Pool(halves=4, full=3)
    assert sorted(large.without(small)) == ["halves", "lr-over-64", "lr-over-8", "lr-x64", "lr-x8", "tuning"]
    assert "pool" in large.without(Pool())
    assert Pool(halves=8, full=5).without(Pool(halves=8, full=3)) == ["seeds"]


def test_a_prefix_is_the_smaller_pool_itself() -> None:
    large = a_pool(60, 50, halves=8, quarters=4, eighths=8, full=3, arms={"lr-over-8": -0.05, "steps-x4": 0.0})
    small = large.prefix(Pool(halves=4, full=2, questions=("tuning",)))
    own = a_pool(60, 50, halves=4, full=2, arms={"lr-over-8": -0.05})
    assert small.arm == own.arm
    for name in ("size", "permutation", "part", "included", "on_train", "on_validation"):
        assert np.array_equal(getattr(small, name), getattr(own, name)), name


def test_pairs_have_the_same_rows_in_the_same_order() -> None:
    pool = a_pool(60, 50, arms={"lr-over-8": -0.05}, confirmed=("lr-over-8",))
    for size, count in ((2, 4), (1, 3)):
        plain, changed = pool.pairs(size, "lr-over-8")
        assert len(plain) == len(changed) == count
        assert (pool.permutation[plain] == pool.permutation[changed]).all()
        assert (pool.trained_on[plain] == pool.trained_on[changed]).all()


def test_trained_on_unpacks_the_bits() -> None:
    pool = a_pool(61, 50, halves=4, full=1)
    seen = pool.trained_on
    assert seen.shape == (5, 61)
    halves = pool.members(2)
    assert (seen[halves[0]] ^ seen[halves[1]]).all()
