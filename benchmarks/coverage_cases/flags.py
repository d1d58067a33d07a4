"""What flags of wrong labels are worth."""

from __future__ import annotations

from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held

from uncork.stats.binomial import clopper_pearson
from uncork.stats.confident import worth

CLASSES, SPIKES, LOOKED_AT = 5, 4, 200
RECALL, FALSE = 0.8, 0.03  # chance that a wrong label is flagged, and a right one


def listed(what: int, wrong: float, rng: np.random.Generator, n: int) -> Draw:
    """Recall (`what` 0) and precision (1) of a list, with the share of wrong labels from rows that were looked at."""
    bad = rng.random(n) < wrong
    flagged = rng.random(n) < np.where(bad, RECALL, FALSE)
    lands = 1 / (CLASSES - 1)
    right = bad[:, None] & (rng.random((n, SPIKES)) < lands)  # spikes that hit the true label
    spiked = rng.random((n, SPIKES)) < np.where(right, FALSE, RECALL)
    seen = rng.random(LOOKED_AT) < wrong
    rate = clopper_pearson(int(seen.sum()), LOOKED_AT)
    found = worth(flagged, spiked.mean(axis=1), rate, lands=lands, clusters=np.arange(n))[what]
    truth = RECALL if what == 0 else float(bad[flagged].mean())
    return None if found.low is None else held(found, truth)


CASES = tuple(
    Case(f"confident.worth ({name})", f"{100 * wrong:g} % wrong", partial(listed, what, wrong), draws=1_000)
    for what, name in enumerate(("recall", "precision"))
    for wrong in (0.1, 0.3)
)
