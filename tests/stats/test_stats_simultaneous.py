from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.simultaneous import shares_by_class


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
