"""The spread between trainings, the next training, and sizes of signed figures."""

from __future__ import annotations

import numpy as np
from coverage_cases import Case, Draw, held

from uncork.stats.crossed import seed_variance
from uncork.stats.deviation import deviation, magnitude, one_more
from uncork.stats.means import mean

TABLE = "Training seeds"
SEEDS = (3, 5, 8)
ROWS = 400
OWN, SHARED = 0.7, 0.02  # s.d. of a row's luck and of a training's


def trainings(rng: np.random.Generator, seeds: int) -> np.ndarray:
    return rng.normal(size=ROWS) + rng.normal(0, SHARED, (seeds, 1)) + rng.normal(0, OWN, (seeds, ROWS))


def spread(rng: np.random.Generator, seeds: int) -> Draw:
    truth = np.hypot(SHARED, OWN / np.sqrt(ROWS))
    return held(deviation(trainings(rng, seeds).mean(axis=1), unit="x"), truth)


def next_one(rng: np.random.Generator, seeds: int) -> Draw:
    """The last of the trainings is the one to come."""
    *known, new = trainings(rng, seeds + 1).mean(axis=1)
    return held(one_more(np.array(known), unit="x"), new)


def next_one_with_rows(rng: np.random.Generator, seeds: int) -> Draw:
    values = trainings(rng, seeds + 1)
    known = values[:-1]
    return held(one_more(known.mean(axis=1), unit="x", between=seed_variance(known)), float(values[-1].mean()))


def size(truth: float, rng: np.random.Generator, seeds: int) -> Draw:
    return held(magnitude(mean(rng.normal(-truth, 1, seeds), unit="x")), truth)


def at_zero(rng: np.random.Generator, seeds: int) -> Draw:
    return size(0.0, rng, seeds)


def off_zero(rng: np.random.Generator, seeds: int) -> Draw:
    return size(1.0, rng, seeds)


CASES = (
    Case("deviation.deviation", "normal figures", spread, sizes=SEEDS, promise="about", table=TABLE),
    Case("deviation.one_more", "normal figures", next_one, sizes=SEEDS, promise="about", table=TABLE),
    Case("deviation.one_more", "no less than the rows' luck", next_one_with_rows, sizes=SEEDS, table=TABLE),
    Case("deviation.magnitude", "of a mean of 0", at_zero, sizes=SEEDS, promise="about", table=TABLE),
    Case("deviation.magnitude", "of a mean of one s.d.", off_zero, sizes=SEEDS, table=TABLE),
)
