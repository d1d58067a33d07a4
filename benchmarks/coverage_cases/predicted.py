"""Shares known for few rows and predicted for many; slopes between figures that are known with error."""

from __future__ import annotations

from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from scipy.special import expit

from uncork.stats.prediction_powered import prediction_powered_share
from uncork.stats.slope import slope

LABELLED, PAIRS = (100, 150, 1_000), (20, 60)
ELSEWHERE = 5_000


def share(of_all: float, sharpness: float, rng: np.random.Generator, n: int) -> Draw:
    """Predictions expit(sharpness · (truth − ½) + noise), of no use at sharpness 0."""
    true = rng.random(n + ELSEWHERE) < of_all
    predicted = expit(sharpness * (true - 0.5) - 1 + rng.normal(size=n + ELSEWHERE))
    return held(prediction_powered_share(true[:n], predicted[:n], predicted[n:]), of_all)


def foretold(noise: float, each: int, rng: np.random.Generator, n: int) -> Draw:
    """Slope .5, true x of s.d. 1, scatter .5 about the line; `noise` in x, shared effects in groups of `each`."""
    groups = np.arange(n) // each
    x = rng.normal(size=n)
    y = 0.5 * x + 1 + 0.35 * (rng.normal(size=n) + rng.normal(size=n // each + 1)[groups])
    clusters = None if each == 1 else groups
    seen = x + rng.normal(0, noise, n)
    return held(slope(seen, y, np.full(n, noise), clusters=clusters, unit="x"), 0.5)


CASES = (
    *(
        Case(
            "prediction_powered_share",
            f"{of_all:.0%} true, predictions {what}",
            partial(share, of_all, sharpness),
            sizes=LABELLED,
            promise="about",
            table="Labelled rows, and 5,000 predicted ones",
        )
        for of_all in (0.02, 0.05, 0.2)
        for sharpness, what in ((6.0, "sharp"), (2.0, "vague"), (0.0, "useless"))
    ),
    *(
        Case(
            "slope (Fieller)",
            what,
            partial(foretold, noise, each),
            sizes=PAIRS,
            promise="about",
            table="Pairs",
            undetermined=lost,
        )
        for noise, each, what, lost in (
            (0.3, 1, "noise in x .3 of its s.d.", {20: 0.04}),
            (0.7, 1, "noise in x .7 of its s.d.", {20: 0.45, 60: 0.005}),
            (0.3, 2, "noise .3; pairs in twos", {20: 0.09}),
        )
    ),
)
