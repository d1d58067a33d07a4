from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from stats_helpers import accept, binary_pass, decided_pass

from uncork.schema.errors import BadInput
from uncork.schema.metric import Metric
from uncork.stats.score import gain, score


def delong_by_loops(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """(AUC of a, s.e. of it, s.e. of AUC(a) − AUC(b)) from all n² placements (DeLong et al. 1988)."""
    placements = []
    for s in (a, b):
        beats = [[float(p > q) + 0.5 * float(p == q) for q in s[y == 0]] for p in s[y == 1]]
        placements.append((np.mean(beats, axis=1), np.mean(beats, axis=0)))
    v10, v01 = (np.array([placements[0][i], placements[1][i]]) for i in (0, 1))
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    return (
        float(v10[0].mean()),
        float(np.sqrt(covariance[0, 0])),
        float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])),
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n1", "n0"), [(60, 90), (12, 200)])
def test_auc_equals_sklearn_and_delong_by_loops(ties: bool, n1: int, n0: int) -> None:
    rng = np.random.default_rng(n1)
    y = rng.permutation(np.r_[np.ones(n1, int), np.zeros(n0, int)])
    a, b = y + rng.normal(size=len(y)), 0.5 * y + rng.normal(size=len(y))
    if ties:
        a, b = np.round(a), np.round(b)
    first, second = binary_pass(a, y), binary_pass(b, y)
    value, se, se_of_difference = delong_by_loops(a, b, y)
    found = score(Metric("auc"), first)
    assert found.value == pytest.approx(roc_auc_score(y, a))
    assert (found.value, found.se) == pytest.approx((value, se))
    assert 0 < found.low < found.value < found.high < 1
    gained = gain(Metric("auc"), second, first)
    assert gained.value == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert gained.se == pytest.approx(se_of_difference)
    assert gained.low < gained.value < gained.high


def test_auc_undetermined_or_refused() -> None:
    y = np.r_[np.ones(9, int), np.zeros(200, int)]
    few = score(Metric("auc"), binary_pass(np.random.default_rng(0).normal(size=209), y))
    assert few.value is not None
    assert not few.determined
    perfect = np.repeat([0, 1], 50)
    grouped = score(Metric("auc"), binary_pass(10.0 * perfect, perfect, np.arange(100) // 2))
    assert grouped.value == 1
    assert not grouped.determined
    constant = score(Metric("auc"), binary_pass(np.zeros(100), perfect))
    assert constant.value == 0.5
    assert not constant.determined
    with pytest.raises(BadInput, match="both classes"):
        score(Metric("auc"), binary_pass(np.zeros(5), np.zeros(5, int)))
    with pytest.raises(BadInput, match="two classes"):
        score(Metric("auc"), decided_pass(np.zeros(9, bool), np.arange(9) % 3))


@pytest.mark.parametrize(("perfect", "m", "n"), [(1.0, 10, 40), (0.0, 60, 30)])
def test_a_perfect_auc_is_newcombes(perfect: float, m: int, n: int) -> None:
    """(θ̂ − θ)² = z² V(θ), worked here apart on a fine grid; no s.e. is made up."""
    y = np.r_[np.ones(m, int), np.zeros(n, int)]
    found = score(Metric("auc"), binary_pass(np.where(y == 1, 3.0, -3.0) * (2 * perfect - 1), y))
    x = np.linspace(0, 1, 200_001)
    shape = 1 + ((m + n) / 2 - 1) * ((1 - x) / (2 - x) + x / (1 + x))
    inside = x[(perfect - x) ** 2 <= 1.959964**2 * x * (1 - x) * shape / (m * n)]
    assert (found.low, found.high) == pytest.approx((inside[0], inside[-1]), abs=1e-5)
    assert (found.value, found.se) == (perfect, None)


def test_auc_of_many_rows_is_delong_on_the_logit_scale() -> None:
    """Newcombe's part fades with the degrees of freedom: 40,000 rows, positives half as spread, where it is wide."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20_000)
    found = score(Metric("auc"), binary_pass(rng.normal(size=40_000) * np.where(y == 1, 0.5, 1.0) + 2 * y, y))
    half = 1.96 * found.se / (found.value * (1 - found.value))
    centre = np.log(found.value / (1 - found.value))
    ends = 1 / (1 + np.exp(-centre + half)), 1 / (1 + np.exp(-centre - half))
    assert found.high - found.low == pytest.approx(ends[1] - ends[0], rel=0.02)


@pytest.mark.parametrize(
    ("n1", "n0", "auc", "spread"),
    [(20, 400, 0.76, 1.0), (60, 60, 0.5, 1.0), (10, 90, 0.92, 2.0), (10, 90, 0.97, 2.0), (30, 270, 0.97, 1.0)],
)
def test_auc_covers(n1: int, n0: int, auc: float, spread: float) -> None:
    """Binormal scores, 400 draws; wanted ≥ .945 (the logit alone: .81 to .95). Chance 1e-4."""
    rng = np.random.default_rng(2)
    y = np.r_[np.ones(n1, int), np.zeros(n0, int)]
    mean, sd = stats.norm.ppf(auc) * np.hypot(1, spread) * y, np.where(y == 1, spread, 1.0)
    found = [score(Metric("auc"), binary_pass(mean + sd * rng.normal(size=len(y)), y)) for _ in range(400)]
    assert accept(sum(e.low <= auc <= e.high for e in found), 400, 0.945)
