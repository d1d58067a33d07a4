"""Shares of wrong labels from spikes, and gains from more rows by the learning curve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from scipy import stats

from uncork.stats.learning_curve import learning_curve
from uncork.stats.mixture import mixture_share

MIXED, CURVES = "Rows, with 3 spikes each", "Validation rows, for learning curves"
APART, NEAR = (-4.0, 4.0), (-3.0, 2.0)  # means of wrong and of right labels' margins


def margins(wrong: float, means: tuple[float, float], sd: float, rng: np.random.Generator, n: int) -> tuple:
    """(observed, spiked (n, 3)): a quarter of the variance is the row's own."""
    row = np.sqrt(0.25) * rng.normal(size=(n, 1))
    drawn = sd * (row + np.sqrt(0.75) * rng.normal(size=(n, 5)))
    observed = np.where(rng.random(n) < wrong, means[0] + drawn[:, 0], means[1] + drawn[:, 1])
    return observed, means[0] + drawn[:, 2:]


def mixed(wrong: float, means: tuple[float, float], sd: float, each: int, rng: np.random.Generator, n: int) -> Draw:
    """Rows in groups of `each` copies."""
    observed, spiked = margins(wrong, means, sd, rng, n // each)
    groups = np.repeat(np.arange(n // each), each)
    return held(mixture_share(observed[groups], spiked[groups], rng, clusters=groups), wrong)


def power(a: float, b: float, c: float, x: float) -> float:
    return a + b * x**-c


def bent(x: float) -> float:
    """Two power laws and a floor."""
    return 0.05 + 0.04 * x**-0.3 + 0.004 * x**-1.2


def members(
    rate: Callable[[float], float], sizes: tuple[float, ...], luck: float, rng: np.random.Generator, n: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Errors of 8 eighths, 4 quarters, 4 × 2 halves and 3 full members, and their permutations.

    A row is wrong where a normal score, 70 % of its variance the row's own, falls below the rate's quantile. Rates
    stray by their training's `luck`, and by what rows a member has, which cancels over the parts of a permutation.
    """
    hard, values, permutations = np.sqrt(0.7) * rng.normal(size=n), [], []
    for size in sizes:
        parts, repeats = {1.0: (1, 3), 0.5: (2, 4)}.get(size, (round(1 / size), 1))
        own = 0.03 * np.sqrt(parts) * rng.normal(size=(repeats, parts))
        own -= own.mean(axis=1, keepdims=True)
        rates = rate(size) * (1 + own.ravel() + luck * rng.normal(size=own.size))
        score = hard + np.sqrt(0.3) * rng.normal(size=(own.size, n))
        values.append((score < stats.norm.ppf(np.clip(rates, 1e-5, 1 - 1e-5))[:, None]).astype(float))
        permutations.append(np.repeat(np.arange(repeats), parts))
    return values, permutations


def doubled(rate: Callable[[float], float], rng: np.random.Generator, n: int) -> Draw:
    sizes = (0.125, 0.25, 0.5, 1.0)
    values, permutations = members(rate, sizes, 0.05, rng, n)
    found = learning_curve(sizes, values, permutations, unit="share", multiples=(2.0,))
    return held(found.gains[2.0], rate(1.0) - rate(2.0))


CASES = (
    *(
        Case(
            "mixture.mixture_share",
            what,
            partial(mixed, wrong, means, sd, each),
            sizes=(200, 1_000, 5_000),
            promise="about",
            draws=2_000,
            table=MIXED,
        )
        for wrong, means, sd, each, what in (
            (0.0, APART, 1.5, 1, "none wrong"),
            (0.05, APART, 1.5, 1, "5 % wrong"),
            (0.2, APART, 1.5, 1, "20 % wrong"),
            (0.2, APART, 1.5, 2, "20 % wrong; rows in twos"),
            (0.1, NEAR, 2.0, 1, "10 % wrong, kinds overlap"),
        )
    ),
    *(
        Case(
            "learning_curve",
            f"gain of twice the rows, errors {what}",
            partial(doubled, rate),
            sizes=(500, 2_000),
            promise="about",
            draws=200,
            table=CURVES,
        )
        for rate, what in (
            (partial(power, 0.02, 0.05, 0.8), ".02 + .05 n^−.8"),
            (partial(power, 0.05, 0.05, 0.25), ".05 + .05 n^−.25"),
            (partial(power, 0.0, 0.1, 0.5), ".1 n^−.5"),
            (partial(power, 0.2, 0.0, 1.0), ".2, flat"),
            (bent, "by two power laws"),
        )
    ),
)
