from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.means import mean
from uncork.stats.multiplicity import lower_bound
from uncork.stats.power import detectable, rows_to_settle


def estimate(value: float = 3.0, se: float | None = 1.0, df: float | None = None, n: int = 100) -> Estimate:
    return Estimate(value, None, None, "x", n, "t", se, df)


@pytest.mark.parametrize("family", [1, 3, 10])
def test_detectable_by_formula(family: int) -> None:
    expected = 5 + 2 * (stats.norm.ppf(1 - 0.05 / family) + 0.841621)
    assert detectable(estimate(se=2.0), 5, family) == pytest.approx(expected, abs=1e-5)
    with_t = 5 + 2 * (stats.t.ppf(1 - 0.05 / family, 7) + 0.841621)
    assert detectable(estimate(se=2.0, df=7), 5, family) == pytest.approx(with_t, abs=1e-5)
    assert detectable(estimate(se=None), 5, family) is None


@pytest.mark.parametrize("family", [1, 4])
def test_what_is_called_detectable_is_proven_in_four_of_five(family: int) -> None:
    """1,000 draws of 60 rows whose true mean is what `detectable` says at the true s.e.: power .79–.81, two-sided
    region at .80 ± chance 1e-4 a side."""
    rng = np.random.default_rng(family)
    truth = detectable(estimate(se=2 / np.sqrt(60), df=59), 1.0, family)
    proven = sum(lower_bound(mean(rng.normal(truth, 2, 60), unit="x"), family) > 1.0 for _ in range(1000))
    assert accept(proven, 1000, 0.8, exact=True)


def test_rows_to_settle_settles() -> None:
    """With that many rows the headroom found is proven in ≥ 80 % of 1,000 draws (chance 1e-4), with half it is not."""
    rng = np.random.default_rng(0)
    found = estimate(value=1.5, se=2 / np.sqrt(60), df=59, n=60)
    n = rows_to_settle(found, 1.0, 3)
    assert n > 60

    def proven(rows: int) -> int:
        return sum(lower_bound(mean(rng.normal(1.5, 2, rows), unit="x"), 3) > 1.0 for _ in range(1000))

    assert accept(proven(n), 1000, 0.8)
    assert not accept(proven(n // 2), 1000, 0.8)


def test_rows_to_settle_is_monotone() -> None:
    nearer = [rows_to_settle(estimate(value=v), 2.0, 3) for v in (9, 6, 4, 3, 2.5, 2.1)]
    assert nearer == sorted(nearer)
    below = [rows_to_settle(estimate(value=v), 2.0, 3) for v in (-5, 0, 1, 1.9)]
    assert below == sorted(below)
    wider = [rows_to_settle(estimate(se=s), 2.0, 3) for s in (0.1, 0.5, 1, 3)]
    assert wider == sorted(wider)
    larger_family = [rows_to_settle(estimate(), 2.0, m) for m in (1, 2, 5, 20)]
    assert larger_family == sorted(larger_family)
    assert rows_to_settle(estimate(se=1.0, n=100), 2.0, 1) == pytest.approx(100 * (1.644854 + 0.841621) ** 2, abs=1)


def test_rows_to_settle_is_none_where_there_is_no_answer() -> None:
    assert rows_to_settle(estimate(value=2.0), 2.0, 3) is None
    assert rows_to_settle(estimate(se=None), 2.0, 3) is None
    assert rows_to_settle(Estimate(None, 0, 1, "x", 9, "bounds", 1.0), 2.0, 3) is None


def test_one_quantile_for_bounds_and_power() -> None:
    """Power is of the very bound that proves: both ask the same helper."""
    from uncork.stats import multiplicity, power

    assert power.t_quantile is multiplicity.t_quantile
    assert multiplicity.t_quantile(0.975, None) == pytest.approx(1.959964, abs=1e-6)
    assert multiplicity.t_quantile(0.975, 5) == pytest.approx(stats.t.ppf(0.975, 5))
