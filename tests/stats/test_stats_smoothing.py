"""Certified radii: closed forms, another implementation of the bound, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.stats.smoothing import certified_radius, outvotes


def test_the_largest_radius_of_so_many_copies() -> None:
    """α^(1/n) bounds a share that was 1: Cohen, Rosenfeld & Kolter state 3.81 σ at n = 100,000 and α = .001."""
    for sigma in (0.25, 1.0):
        (largest,) = certified_radius(np.array([100_000]), 100_000, sigma)
        assert largest == pytest.approx(sigma * stats.norm.ppf(0.001**1e-5), rel=1e-9)
        assert round(largest / sigma, 2) == 3.81


def test_the_bound_is_the_one_of_an_exact_one_sided_test() -> None:
    votes = np.array([60, 75, 99, 100])
    radius = certified_radius(votes, 100, 0.5, alpha=0.01)
    for k, r in zip(votes, radius, strict=True):
        low = stats.binomtest(int(k), 100, alternative="greater").proportion_ci(0.99, method="exact").low
        if low > 0.5:
            assert r == pytest.approx(0.5 * stats.norm.ppf(low), rel=1e-6)
        else:
            assert np.isnan(r)


def test_half_of_the_votes_certify_nothing() -> None:
    radius = certified_radius(np.array([0, 50, 65, 66]), 100, 1.0)
    assert np.isnan(radius).tolist() == [True, True, True, False]  # binomtest: 66 of 100 is the first below .001


def test_a_lead_is_tested_exactly() -> None:
    first, second = np.array([10, 11, 12, 60, 70, 5]), np.array([0, 0, 1, 40, 30, 5])
    expected = [stats.binomtest(int(a), int(a + b)).pvalue <= 0.001 for a, b in zip(first, second, strict=True)]
    assert outvotes(first, second).tolist() == expected
    assert outvotes(np.array([0]), np.array([0])).tolist() == [False]


def test_a_true_share_is_overstated_as_rarely_as_stated() -> None:
    """20,000 draws at α = .05: the exact bound is conservative. Correct code fails once in 10,000 seeds or less."""
    votes = np.random.default_rng(0).binomial(200, 0.8, 20_000)
    wrong = (certified_radius(votes, 200, 1.0, alpha=0.05) > stats.norm.ppf(0.8)).mean()
    assert 0.025 < wrong <= 0.05 + 3.8 * (0.05 * 0.95 / 20_000) ** 0.5
