from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from stats_helpers import accept

from uncork.stats import learning_curve as module
from uncork.stats.learning_curve import learning_curve

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from coverage_cases.pool import bent, members, power

HALF, FULL = (0.125, 0.25, 0.5), (0.125, 0.25, 0.5, 1.0)
ROWS = 1000


def seen(rate: partial, sizes: tuple[float, ...] = FULL, seed: int = 0, n: int = ROWS) -> tuple:
    return sizes, *members(rate, sizes, 0.05, np.random.default_rng(seed), n)


def test_covers_and_beats_no_change_from_halves_to_full() -> None:
    """60 planted curves, floors, slopes and sizes of noise of all sorts, a tenth bent: nominal 90 %.

    Chance of failing correct code: 1e-4 for the coverage.
    """
    hits, missed, unchanged, trials = 0, [], [], 60
    for trial in range(trials):
        rng = np.random.default_rng((1, trial))
        rate = partial(power, rng.uniform(0, 0.1), rng.uniform(0.005, 0.08), rng.uniform(0.1, 1.2))
        rate = bent if trial % 10 == 0 else rate
        values, permutations = members(rate, HALF, rng.uniform(0, 0.1), rng, int(rng.choice([500, 2000])))
        found = learning_curve(HALF, values, permutations, unit="x", multiples=(2.0,), level=0.9).gains[2.0]
        truth = rate(0.5) - rate(1.0)
        hits += found.low <= truth <= found.high
        missed.append(abs(found.value - truth))
        unchanged.append(truth)
    assert accept(hits, trials, 0.9)
    assert np.mean(missed) < np.mean(unchanged) / 3


@pytest.mark.slow
def test_losses_are_covered_too() -> None:
    """Log-normal losses, from full to twice and four times the rows. Chance of failing: 1e-4 a multiple."""
    rate, hits, trials = partial(power, 0.3, 0.2, 0.6), {2.0: 0, 4.0: 0}, 40
    for trial in range(trials):
        rng = np.random.default_rng((2, trial))
        hard = np.exp(0.8 * rng.normal(size=ROWS) - 0.32)
        values = []
        for size, m in zip(FULL, (8, 4, 8, 3), strict=True):
            luck = np.exp(0.03 * rng.normal(size=(m, 1)) + 0.3 * rng.normal(size=(m, ROWS)) - 0.045)
            values.append(rate(size) * hard * luck)
        permutations = [np.zeros(8), np.zeros(4), np.repeat(np.arange(4), 2), np.arange(3)]
        gains = learning_curve(FULL, values, permutations, unit="nats", level=0.9).gains
        for multiple, found in gains.items():
            hits[multiple] += found.low <= rate(1.0) - rate(multiple) <= found.high
    assert all(accept(h, trials, 0.9) for h in hits.values())


@pytest.mark.slow
def test_equals_the_posterior_by_importance_sampling() -> None:
    rng = np.random.default_rng(3)
    sizes, values, permutations = seen(partial(power, 0.1, 0.1, 0.5), n=300)
    data = module._seen(values, permutations, None)
    draws = 1_000_000
    p, c = np.sin(rng.uniform(0, np.pi / 2, draws)) ** 2, rng.uniform(0.05**0.5, 2**0.5, draws) ** 2
    largest = rng.uniform(0.08, 0.35, draws)
    noise = rng.choice(data.df / module.stats.chi2.ppf((np.arange(7) + 0.5) / 7, data.df), draws)

    def true(x: float, level: float) -> np.ndarray:
        return largest * (p + (1 - p) * x**-c) + 0.02 * level * rng.normal(size=draws)

    at_sizes = np.stack([true(x, level) for x, level in zip(sizes, data.level, strict=True)], axis=1)
    covariances = data.rows + noise[:, None, None] * np.diag(data.trainings)
    left = data.level - at_sizes
    logs = -0.5 * np.einsum("ds,ds->d", left, np.linalg.solve(covariances, left[..., None])[..., 0])
    weight = np.exp(logs - 0.5 * np.linalg.slogdet(covariances)[1])
    weight /= weight.sum()
    assert 1 / np.square(weight).sum() > 2000  # effective draws
    doubled = largest * (p + (1 - p) * 2.0**-c)
    gain = at_sizes[:, -1] - doubled * (1 + 0.02 * rng.normal(size=draws))
    order = np.argsort(gain)
    low, high = gain[order][np.searchsorted(np.cumsum(weight[order]), [0.025, 0.975])]
    found = learning_curve(sizes, values, permutations, unit="x").gains[2.0]
    assert found.value == pytest.approx(weight @ gain, abs=0.06 * found.se)
    assert found.high == pytest.approx(high, abs=0.15 * found.se)
    assert found.low == pytest.approx(max(low, 0.0), abs=0.15 * found.se)


def test_nearly_without_noise_it_is_the_curve() -> None:
    rate = partial(power, 0.1, 0.1, 0.5)
    rng = np.random.default_rng(4)
    values = [np.abs(rate(s) * (1 + 1e-3 * rng.normal(size=(m, 500)))) for s, m in zip(FULL, (8, 4, 8, 3), strict=True)]
    permutations = [np.zeros(8), np.zeros(4), np.repeat(np.arange(4), 2), np.arange(3)]
    found = learning_curve(FULL, values, permutations, unit="x")
    for multiple, gain in found.gains.items():
        truth = rate(1.0) - rate(multiple)
        assert gain.value == pytest.approx(truth, rel=0.2)
        assert gain.low < truth < gain.high
        assert gain.high - gain.low > 2 * 0.02 * rate(multiple)  # the misfit stays


def test_flat_gains_nothing() -> None:
    gains = learning_curve(*seen(partial(power, 0.2, 0.0, 1.0), n=5000), unit="x").gains
    assert [g.low for g in gains.values()] == [0, 0]
    assert max(g.value for g in gains.values()) < 0.03 * 0.2
    assert "2 % misfit" in gains[2.0].method


def test_curve_falls_and_holds_what_is_seen() -> None:
    found = learning_curve(*seen(partial(power, 0.05, 0.1, 0.5)), unit="x")
    assert (np.diff(found.y) <= 1e-12).all()
    assert ((found.low < found.y) & (found.y < found.high) & (found.low >= 0)).all()
    assert set(FULL) | {2.0, 4.0} <= set(found.x.tolist())
    assert 0 < found.gains[2.0].value < found.gains[4.0].value
    at = found.x.tolist().index
    assert found.gains[4.0].value == pytest.approx(found.y[at(1.0)] - found.y[at(4.0)], abs=0.01)


def test_unit_order_and_naming_do_not_matter() -> None:
    sizes, values, permutations = seen(partial(power, 0.05, 0.1, 0.5))
    first = learning_curve(sizes, values, permutations, unit="x").gains[4.0]
    rows = [s * 4000 for s in sizes]
    scaled = learning_curve(rows, [1000 * v for v in values], permutations, unit="‰").gains[4.0]
    backwards = learning_curve(
        sizes[::-1], [v[::-1] for v in values[::-1]], [p[::-1] + 7 for p in permutations[::-1]], unit="x"
    ).gains[4.0]
    for other, factor in ((scaled, 1000), (backwards, 1)):
        ends = np.array([other.low, other.value, other.high]) / factor
        assert ends == pytest.approx([first.low, first.value, first.high])


def test_copies_of_rows_add_nothing() -> None:
    sizes, values, permutations = seen(partial(power, 0.05, 0.1, 0.5))
    copied = [np.repeat(v, 3, axis=1) for v in values]
    clusters = np.repeat(np.arange(ROWS), 3)
    first = learning_curve(sizes, values, permutations, unit="x").gains[2.0]
    again = learning_curve(sizes, copied, permutations, clusters=clusters, unit="x").gains[2.0]
    assert (again.low, again.value, again.high) == pytest.approx((first.low, first.value, first.high))


def test_fewer_rows_widen_it() -> None:
    rate = partial(power, 0.02, 0.1, 0.5)
    few, many = (learning_curve(*seen(rate, n=n), unit="x").gains[2.0] for n in (100, 10_000))
    assert few.high - few.low > 1.3 * (many.high - many.low)


def test_undetermined() -> None:
    sizes, values, permutations = seen(partial(power, 0.05, 0.1, 0.5))
    nothing = [np.zeros_like(v) for v in values]
    single = [v[:1] for v in values]
    for found in (
        learning_curve(sizes[:2], values[:2], permutations[:2], unit="x"),
        learning_curve(sizes, nothing, permutations, unit="x"),
        learning_curve(sizes, single, [p[:1] for p in permutations], unit="x"),
        learning_curve(sizes, [v * np.nan for v in values], permutations, unit="x"),
    ):
        assert found.y is None
        assert not any(g.determined for g in found.gains.values())
        assert "undetermined" in found.gains[2.0].method


def test_no_error_left_at_full_is_not_certain() -> None:
    sizes, values, permutations = seen(partial(power, 0.0, 0.02, 0.5))
    found = learning_curve(sizes, [*values[:3], np.zeros_like(values[3])], permutations, unit="x").gains[2.0]
    assert 0 == found.low == found.value < found.high < 0.01


@pytest.mark.parametrize("full", [0.0, 0.004])
def test_no_more_is_promised_than_there_is(full: float) -> None:
    """A curve that falls at once before the largest size: the extended one would promise .02."""
    rates = {0.125: 0.25, 0.25: 0.18, 0.5: 0.125, 1.0: full}
    sizes, values, permutations = seen(rates.__getitem__)
    found = learning_curve(sizes, values, permutations, unit="x").gains[2.0]
    level = float(np.mean(values[sizes.index(1.0)]))
    assert found.value <= level
    assert found.low <= max(0.0, level)
    assert found.high - found.low > 2 / ROWS


def test_refuses_to_go_far() -> None:
    sizes, values, permutations = seen(partial(power, 0.05, 0.1, 0.5))
    for multiple in (8.0, 1.0):
        with pytest.raises(ValueError, match="4 times the largest"):
            learning_curve(sizes, values, permutations, unit="x", multiples=(multiple,))
    with pytest.raises(ValueError, match="one of each"):
        learning_curve(sizes[:3], values, permutations, unit="x")
