from __future__ import annotations

import numpy as np
import pytest

from uncork.derived.speed import BLOCKS, times_faster, times_faster_on_average


def drawn(seed: int, factor: float, rounds: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two works under a load that both share, which drifts, and pauses of one in fifty runs."""
    rng = np.random.default_rng(seed)
    load = np.exp(np.cumsum(rng.normal(0, 0.02, rounds)))
    pauses = 1 + 50 * (rng.random((2, rounds)) < 0.02)
    slow, fast = load * pauses * np.exp(rng.normal(0, 0.05, (2, rounds)))
    return factor * slow, fast


def test_the_factor_is_covered() -> None:
    """200 draws at a nominal 95 %; below 180 of a true 95 %: chance 3e-4. A drift that both share cancels out."""
    found = [times_faster(*drawn(s, 1.6)) for s in range(200)]
    assert sum(e.low <= 1.6 <= e.high for e in found) >= 180
    assert np.mean([e.high / e.low for e in found]) < 1.05, "it would be no use"


def test_rounds_are_no_units_where_the_load_of_each_wanders_apart() -> None:
    """Ten stretches cover where the rounds, taken as independent, would not: their ratio wanders with memory of 5."""
    covered = naive = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        wander = np.zeros(400)
        for i in range(1, 400):
            wander[i] = 0.8 * wander[i - 1] + rng.normal(0, 0.05)
        before, after = 2 * np.exp(wander), np.exp(rng.normal(0, 0.02, 400))
        found = times_faster(before, after)
        covered += found.low <= 2 <= found.high
        logs = np.log(before / after)
        naive += abs(logs.mean() - np.log(2)) <= 1.96 * logs.std() / 20
    assert covered >= 85  # chance 3e-4 at a true 95 %
    assert naive < 70


def test_a_pause_of_the_machine_counts_for_neither() -> None:
    before, after = np.full(200, 2.0), np.ones(200) * np.linspace(1, 1.0001, 200)
    after[::40] = 100.0
    assert times_faster(before, after).value == pytest.approx(2, rel=1e-3)
    assert times_faster_on_average(before, after).value < 1


def test_of_all_rounds_together_where_some_take_a_quarter() -> None:
    """200 draws at a nominal 95 %; below 180 of a true 95 %: chance 3e-4. The mean of 200 has a s.d. of .011; that of
    the stretches' own ratios would be 1.7."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before = np.exp(0.2 * rng.normal(size=40))
        found.append(times_faster_on_average(before, before * np.where(rng.random(40) < 0.5, 0.25, 1.0)))
    assert sum(e.low <= 1.6 <= e.high for e in found) >= 180
    assert np.mean([e.value for e in found]) == pytest.approx(1.6, abs=0.05)


def test_few_rounds_say_nothing() -> None:
    for factor in (times_faster, times_faster_on_average):
        found = factor(np.ones(2 * BLOCKS - 1), np.ones(2 * BLOCKS - 1))
        assert (found.value, found.low, found.high) == (None, None, None)
