from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson, korn_graubard
from uncork.stats.means import mean
from uncork.stats.simultaneous import shares_by_class, together


def test_each_is_clopper_pearson_at_bonferronis_level() -> None:
    y = np.repeat([0, 1, 3], [50, 7, 200])
    hit = np.random.default_rng(0).random(257) < 0.3
    found = shares_by_class(hit, y, 4, unit="share wrong")
    assert len(found) == 4
    for c in (0, 1, 3):
        truth = stats.binomtest(int(hit[y == c].sum()), int((y == c).sum())).proportion_ci(1 - 0.05 / 4)
        assert (found[c].low, found[c].high) == pytest.approx((truth.low, truth.high))
    assert not found[2].determined
    assert found[2].value is None
    assert found[0].unit == "share wrong"


@pytest.mark.parametrize("classes", [2, 10])
def test_all_hold_together(classes: int) -> None:
    """400 draws: every class's interval holds at once in ≥ 95 %. Chance 1e-4. The worst may then be picked."""
    rng = np.random.default_rng(classes)
    share = np.linspace(0.05, 0.4, classes)
    together = apart = 0
    for _ in range(400):
        y = rng.integers(classes, size=60 * classes)
        hit = rng.random(len(y)) < share[y]
        found = shares_by_class(hit, y, classes)
        together += all(e.low <= s <= e.high for e, s in zip(found, share, strict=True))
        k, n = np.bincount(y, weights=hit, minlength=classes), np.bincount(y, minlength=classes)
        apart += bool((stats.beta.ppf(0.025, k, n - k + 1) <= share)[k > 0].all())
    assert accept(together, 400, 0.95)
    if classes == 10:  # lower ends at 97.5 % each, uncorrected, do not hold together: the test can tell
        assert not accept(apart, 400, 0.95)


def test_together_is_bonferronis_t() -> None:
    rng = np.random.default_rng(1)
    samples = [rng.normal(size=n) for n in (5, 30, 400)]
    found = together([mean(x, unit="x") for x in samples], level=0.9)
    for x, one in zip(samples, found, strict=True):
        truth = stats.t.interval(1 - 0.1 / 3, len(x) - 1, x.mean(), stats.sem(x))
        assert (one.low, one.high) == pytest.approx(truth)
        assert (one.value, one.level) == (pytest.approx(x.mean()), pytest.approx(1 - 0.1 / 3))
    normal = Estimate(1.0, 1 - 1.959964, 1 + 1.959964, "x", 9, "normal", se=1.0)
    assert together([normal] * 5)[0].high == pytest.approx(1 + stats.norm.ppf(0.995))
    assert together([normal]) == (normal,)
    assert together([]) == ()


def test_together_keeps_the_form_of_an_interval_and_makes_up_none() -> None:
    hit, clusters = np.arange(200) < 8, np.arange(200) // 2
    share = korn_graubard(hit, clusters)
    wide, exact, bound, one_sided = together(
        [
            share,
            clopper_pearson(3, 90),
            clopper_pearson(3, 90, level=0.99),
            Estimate(2.0, 1.0, None, "x", 9, "one-sided", 0.5, 8),
        ]
    )
    assert (wide.high - wide.value) / (wide.value - wide.low) == pytest.approx(
        (share.high - share.value) / (share.value - share.low)
    )
    assert wide.high - wide.low > share.high - share.low
    assert not exact.determined
    assert exact.value == pytest.approx(3 / 90)
    assert "undetermined" in exact.method
    assert bound == clopper_pearson(3, 90, level=0.99)
    assert one_sided.high is None
    assert one_sided.low < 1


def test_together_all_hold_and_apart_they_do_not() -> None:
    """Eight means of 12 rows each, 300 draws. Chance 1e-4."""
    rng = np.random.default_rng(4)
    held = apart = 0
    for _ in range(300):
        found = [mean(rng.normal(size=12), unit="x") for _ in range(8)]
        apart += all(e.low <= 0 <= e.high for e in found)
        held += all(e.low <= 0 <= e.high for e in together(found))
    assert accept(held, 300, 0.95)
    assert not accept(apart, 300, 0.95)
