"""Labels needed for a level: by hand where nothing varies but the repeats, and what can't be said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.stats.labels_needed import labels_needed

SIZES = np.array([100, 200, 400])


def levels(*means: float, repeats: int = 5, rows: int = 300, spread: float = 0.01, seed: int = 0) -> np.ndarray:
    """(k, r, n) badness: models of these means, rows alike but for noise."""
    rng = np.random.default_rng(seed)
    models = np.array(means)[:, None, None] + rng.normal(0, spread, (len(means), repeats, 1))
    return models + rng.normal(0, 0.1, (len(means), repeats, rows))


def test_the_size_lies_where_the_line_crosses() -> None:
    """On the line from 200 to 400, half of the way in the logarithm: 283."""
    made = levels(0.6, 0.4, 0.2, 0.3, spread=1e-4, rows=20_000)
    found = labels_needed(SIZES, made[:3], made[3])
    assert found.value == pytest.approx(200 * np.sqrt(2), rel=0.02)
    assert found.low < 200 * np.sqrt(2) < found.high
    assert found.high - found.low < 20
    assert (found.n, found.seeds) == (5, 5)


@pytest.mark.slow
def test_two_arms_alike_are_told_apart_as_often_as_t_says() -> None:
    """At the size of the arm itself the test is the paired t's: it holds 1 in the draws in which that holds 0.

    Rows and residuals vary by nothing, so that t over 5 repeats is exact. Any draw that differs fails it.
    """
    agreed = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        made = np.array([0.6, 0.4, 0.2, 0.4])[:, None] + rng.normal(0, 0.03, (4, 5))
        rows = np.repeat(made[:, :, None], 50, axis=2)
        found = labels_needed(SIZES, rows[:3], rows[3])
        p = stats.ttest_rel(made[1], made[3]).pvalue
        low, high = (found.low or 0), (found.high or np.inf)
        agreed.append((low <= 200 <= high) == (p >= 0.05))
    assert all(agreed)


@pytest.mark.slow
def test_random_arms_have_1_in_most_draws() -> None:
    """A second random arm of 200 labels. True coverage is .95 or more: 200 draws hold 200 at least 178 times with a
    chance of failing correct code below 1 in 1,000; a coverage of .8 passes in 1 of 4,000."""
    held = 0
    for seed in range(200):
        made = levels(0.6, 0.4, 0.2, 0.4, rows=60, spread=0.02, seed=seed)
        found = labels_needed(SIZES, made[:3], made[3])
        held += (found.low or 0) <= 200 <= (found.high or np.inf)
    assert held >= stats.binom.ppf(1e-3, 200, 0.95)


def test_what_the_sizes_do_not_bound_is_left_open() -> None:
    far = levels(0.6, 0.4, 0.2, 0.05, spread=1e-3)
    found = labels_needed(SIZES, far[:3], far[3])
    assert (found.value, found.low, found.high) == (None, 400.0, None)
    worse = levels(0.6, 0.4, 0.2, 0.9, spread=1e-3)
    found = labels_needed(SIZES, worse[:3], worse[3])
    assert (found.value, found.low, found.high) == (None, None, 100.0)
    flat = levels(0.4, 0.4, 0.4, 0.4)
    found = labels_needed(SIZES, flat[:3], flat[3])
    assert found.low is None
    assert found.high is None


def test_an_interval_that_lies_between_two_sizes_tried_is_found() -> None:
    """So sharp that no size of the grid is within it."""
    made = levels(0.6, 0.4, 0.2, 0.303, spread=0, rows=20_000)
    apart = np.linspace(-1e-6, 1e-6, 5)[:, None] * np.arange(4)[:, None, None]
    made = np.broadcast_to(made.mean(axis=(1, 2), keepdims=True) + apart, made.shape)
    found = labels_needed(SIZES, made[:3], made[3])
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1


def test_groups_widen_it() -> None:
    """Rows in 15 groups that share their part of the difference."""
    made = levels(0.6, 0.4, 0.2, 0.3)
    groups = np.arange(300) // 20
    made[3] += np.random.default_rng(1).normal(0, 0.1, 15)[groups]
    alone, grouped = (labels_needed(SIZES, made[:3], made[3], clusters=c) for c in (None, groups))
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert "groups of rows" in grouped.method


def test_it_refuses_one_repeat_and_sizes_out_of_order() -> None:
    made = levels(0.6, 0.4, 0.2, 0.3)
    with pytest.raises(ValueError, match="two or more"):
        labels_needed(SIZES, made[:3, :1], made[3, :1])
    with pytest.raises(ValueError, match="ascending"):
        labels_needed(SIZES[::-1], made[:3], made[3])
