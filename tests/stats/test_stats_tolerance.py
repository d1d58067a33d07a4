"""The threshold that at most a stated share exceeds: its guarantee in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.stats.selective import fewest_rows
from uncork.stats.tolerance import upper_threshold


@pytest.mark.parametrize(("rate", "confidence"), [(0.05, 0.95), (0.01, 0.9), (0.2, 0.99)])
def test_it_is_the_lowest_that_keeps_the_statement(rate: float, confidence: float) -> None:
    """The share above the j-th of n uniform values is Beta(n + 1 − j, j)."""
    needed = fewest_rows(1 - rate, confidence)
    for n in (needed, needed + 1, 3 * needed, 1000):
        j = round(n * upper_threshold(np.arange(1, n + 1) / n, rate, confidence))
        assert stats.beta.cdf(rate, n + 1 - j, j) >= confidence
        assert j == 1 or stats.beta.cdf(rate, n + 2 - j, j - 1) < confidence


def test_too_few_rows_state_nothing() -> None:
    assert fewest_rows(0.95) == 59
    assert upper_threshold(np.arange(58), 0.05, 0.95) is None
    assert upper_threshold(np.random.default_rng(0).permutation(59), 0.05, 0.95) == 58


def test_it_holds_as_often_as_stated() -> None:
    """2,000 samples of 200 normal values: P(at most 5 % above) is .9585 by the binomial; 4 s.d. are .018."""
    values = np.random.default_rng(0).normal(size=(2000, 200))
    held = np.mean([stats.norm.sf(upper_threshold(v, 0.05, 0.95)) <= 0.05 for v in values])
    j = next(j for j in range(1, 201) if stats.binom.cdf(j - 1, 200, 0.95) >= 0.95)
    assert held == pytest.approx(stats.binom.cdf(j - 1, 200, 0.95), abs=0.018)
    assert held >= 0.95
