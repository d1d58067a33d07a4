"""LogME against the evidence written out, and its order of planted features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from uncork.derived.log_evidence import log_evidence


@pytest.mark.parametrize(("n", "d"), [(30, 4), (40, 30)])
def test_it_is_the_evidence_at_its_largest(n: int, d: int) -> None:
    """y ~ N(0, I/β + x xᵀ/α): maximised over both, by another method."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    y = x @ rng.normal(size=d) + rng.normal(size=n)
    z, t = x - x.mean(axis=0), y - y.mean()

    def lack(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        return -multivariate_normal.logpdf(t, cov=np.eye(n) / beta + z @ z.T / alpha) / n

    best = min(
        (minimize(lack, start, method="Nelder-Mead") for start in ((0, 0), (2, -2), (-2, 2))), key=lambda m: m.fun
    )
    assert log_evidence(x, y, 0) == pytest.approx(-best.fun, abs=5e-3)


def test_features_that_tell_more_have_more() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 400)
    told = np.eye(3)[y] @ rng.normal(size=(3, 10))
    found = [log_evidence(told + rng.normal(0, noise, (400, 10)), y, 3) for noise in (0.5, 1.5, 4.0)]
    found.append(log_evidence(rng.normal(size=(400, 10)), y, 3))
    assert found == sorted(found, reverse=True)
