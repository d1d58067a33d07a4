"""Smooth ECE: equal to the definition computed row by row, and its interval holds the population's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept

from uncork.stats.smooth_calibration import smooth_calibrated_null, smooth_calibration_error

Rows = Callable[[np.random.Generator, int], np.ndarray]

# (confidences, share right by confidence)
KNOWN: dict[str, tuple[Rows, Callable[[np.ndarray], np.ndarray]]] = {
    "calibrated": (lambda rng, n: rng.uniform(0.5, 1, n), lambda c: c),
    "over by .03": (lambda rng, n: rng.uniform(0.5, 1, n), lambda c: c - 0.03),
    "over by .1": (lambda rng, n: rng.uniform(0.5, 1, n), lambda c: c - 0.1),
    "mostly sure": (lambda rng, n: 1 - 0.5 * rng.beta(0.2, 3, n), lambda c: np.where(c > 0.99, c - 0.02, c - 0.1)),
    "rare errors": (lambda rng, n: np.full(n, 0.9999), lambda c: c - 0.003),
    "sloping": (lambda rng, n: rng.uniform(0.3, 1, n), lambda c: c**2),
}


def definition(confidence: np.ndarray, residual: np.ndarray) -> float:
    """Row by row, mirror images of every row's normal density, the integral by the midpoint rule."""
    t = (np.arange(2000) + 0.5) / 2000

    def integral(sigma: float) -> float:
        total = np.zeros(len(t))
        for c, r in zip(confidence, residual, strict=True):
            for mirrored in (c, -c, 2 - c, 2 + c, c - 2, 4 - c):
                total += r * stats.norm.pdf(t, mirrored, sigma)
        return float(np.abs(total).mean()) / len(confidence)

    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if integral(middle) > middle else (low, middle)
    return low


@pytest.mark.parametrize(("n", "gap"), [(40, 0.3), (50, 0.1), (50, 0.0)])
def test_equals_its_definition(n: int, gap: float) -> None:
    """Rounding to 2,048 cells moves it by less than 1 %. Apple's relplot 1.0.3 (reflected kernel, searched
    in steps of .001) is within .0004 of it on 500 to 10,000 rows."""
    rng = np.random.default_rng(n)
    confidence = rng.uniform(0.4, 1, n)
    correct = rng.random(n) < confidence - gap
    found = smooth_calibration_error(confidence, correct, rng).value
    assert found == pytest.approx(definition(confidence, confidence - correct), rel=0.01)


@pytest.mark.parametrize("gap", [0.005, 0.05, -0.2])
def test_a_constant_gap_is_itself(gap: float) -> None:
    """Every row is off by the gap: whatever the kernel, the integral is |gap|. 4,000 rows, errors spread evenly."""
    confidence = np.full(4000, 0.75)
    correct = np.arange(4000) < round(4000 * (0.75 - gap))
    found = smooth_calibration_error(confidence, correct, np.random.default_rng(0))
    assert found.value == pytest.approx(abs(gap), rel=0.01)


def population(name: str) -> float:
    """From the expected residuals of 500,000 rows: no noise but that of the confidences."""
    draw, right = KNOWN[name]
    confidence = draw(np.random.default_rng(5), 500_000)
    return float(smooth_calibration_error(confidence, right(confidence), np.random.default_rng(0), draws=2).value)


def covered(name: str, n: int, times: int) -> tuple[int, int]:
    """(intervals that hold the population's smooth ECE, intervals that leave 0 out)."""
    draw, right = KNOWN[name]
    truth, rng = population(name), np.random.default_rng([n, len(name)])
    holds = above = 0
    for _ in range(times):
        confidence = draw(rng, n)
        found = smooth_calibration_error(confidence, rng.random(n) < right(confidence), rng)
        holds += found.low <= truth <= found.high
        above += found.low > 0
    return holds, above


@pytest.mark.slow
@pytest.mark.parametrize("n", [150, 500, 2000, 10_000])
@pytest.mark.parametrize("name", KNOWN)
def test_covers_at_length(name: str, n: int) -> None:
    """300 draws; wanted ≥ .95. Chance of failing correct code 1e-4 each."""
    holds, above = covered(name, n, 300)
    assert accept(holds, 300, 0.95)
    if name == "calibrated":
        assert accept(300 - above, 300, 0.95)


@pytest.mark.parametrize("name", ["calibrated", "over by .1", "rare errors"])
def test_covers(name: str) -> None:
    """40 draws at n = 500; chance 1e-4 each. Off by .1 it is told from 0, calibrated it isn't."""
    holds, above = covered(name, 500, 40)
    assert accept(holds, 40, 0.95)
    if name == "calibrated":
        assert accept(40 - above, 40, 0.95)
    elif name == "over by .1":
        assert above > 30


def test_null_is_what_calibrated_models_show() -> None:
    """Simulated apart, 150 draws of either: means within 4 s.e. (chance 6e-5)."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    null = smooth_calibrated_null(confidence, rng, draws=150)
    apart = [smooth_calibration_error(confidence, rng.random(400) < confidence, rng, draws=2).value for _ in range(150)]
    assert (np.diff(null) >= 0).all()
    assert abs(null.mean() - np.mean(apart)) < 4 * np.hypot(stats.sem(null), stats.sem(apart))
    assert null.std() == pytest.approx(np.std(apart), rel=0.3)


def test_edges() -> None:
    rng = np.random.default_rng(0)
    assert not smooth_calibration_error(np.full(19, 0.9), np.ones(19, bool), rng).determined
    sure = smooth_calibration_error(np.full(150, 0.9999), np.ones(150, bool), rng)
    assert sure.high >= 0.02  # 150 of 150 right leave an error of 2 % open
    whole = smooth_calibration_error(np.ones(50), np.ones(50, bool), rng)
    assert 0 <= whole.low <= whole.value < whole.high
