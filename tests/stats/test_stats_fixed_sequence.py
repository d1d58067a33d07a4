"""A fixed sequence of exact binomial tests: against scipy's, and over draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.stats.fixed_sequence import last_within


@pytest.mark.parametrize(("n", "limit"), [(100, 0.05), (600, 0.005), (1500, 0.01)])
def test_it_passes_as_many_hits_as_the_exact_upper_bound_allows(n: int, limit: float) -> None:
    most = max((k for k in range(n) if stats.binomtest(k, n, limit, alternative="less").pvalue <= 0.05), default=-1)
    hits = np.arange(20)
    assert last_within(hits, n, limit) == (most if most >= 0 else None)
    assert last_within(hits[::-1], n, limit) is None  # the first fails: what comes after is not looked at


def test_it_stops_at_the_first_failure() -> None:
    assert last_within(np.array([0, 0, 30, 0, 0]), 600, 0.005) == 1
    assert last_within(np.array([0, 0, 0]), 600, 0.005) == 2
    assert last_within(np.array([0, 0, 0]), 500, 0.005) is None  # .995^500 is .08


def test_a_risk_above_the_limit_is_passed_once_in_twenty() -> None:
    """Risks rise from 0; the first above the limit is exactly at it, the worst there is. Of 2,000 draws at most 127 may
    pass it: chance .003 at a true 5 %; the largest setting within the limit by its own share passes it far oftener."""
    rng = np.random.default_rng(0)
    n, limit = 1000, 0.02
    risks = np.linspace(0, 2 * limit, 21)
    at = int(np.argmax(risks >= limit))
    passed = plugged = 0
    for _ in range(2000):
        u = rng.random(n)
        hits = np.array([(u < risk).sum() for risk in risks])
        last = last_within(hits, n, limit)
        passed += last is not None and last >= at
        plugged += int((hits <= limit * n).nonzero()[0].max()) >= at
    assert 20 <= passed <= 127  # exact tests on counts stay below 5 %, but not by much
    assert plugged > 800
