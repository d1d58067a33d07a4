"""Labels that random rows need for a level, from a curve that falls straight in the logarithm of their number."""

from __future__ import annotations

from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held

from uncork.stats.labels_needed import labels_needed

TABLE, REPEATS = "Rows, over repeats of a curve", 5
SIZES = np.array([100, 200, 400])
LEVELS = np.array([0.6, 0.4, 0.2])  # badness at each size


def needed(times: float, rng: np.random.Generator, n: int) -> Draw:
    """A model of 200 labels that is as good as `times` as many random ones make it. s.d. of rows .3, which all models
    share, of trainings .02, residual .3."""
    truth = LEVELS[1] - 0.2 * np.log2(times)
    rows = rng.normal(0, 0.3, n)
    models = np.r_[LEVELS, truth][:, None, None] + rows
    models = models + rng.normal(0, 0.02, (4, REPEATS, 1)) + rng.normal(0, 0.3, (4, REPEATS, n))
    return held(labels_needed(SIZES, models[:3], models[3]), 200 * times)


CASES = (
    Case("labels_needed", "as many", partial(needed, 1.0), sizes=(100, 1_000), draws=2_000, table=TABLE),
    Case(
        "labels_needed",
        "1.3 times as many",
        partial(needed, 1.3),
        sizes=(100, 1_000),
        draws=2_000,
        table=TABLE,
        undetermined={100: 0.05},
    ),
)
