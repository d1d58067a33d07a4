"""Take the leaked rows out of train and train again.

What it does
------------
Leaves out every row of train whose exact copy stands in validation or test, and trains again by the recipe for the
same number of steps. Validation and test stay as they are.

Why it helps
------------
It gains no accuracy: it makes the figures true. What was known by heart is new again.

Control
-------
Training again, from the same seed and for as many steps, without as many random rows: the gate stays open.

Safety
------
checked: the retrained model decides differently. The gate must close, and the metric is shown before and after; it
usually looks worse, by what the leak had flattered it.

When it fails
-------------
Near duplicates stay: they are for a person to judge. Without a recipe nothing can be trained again; then read the
figures without the copies, which the finding states.

References
----------
Barz & Denzler, Do we train on test data?, J. Imaging 6, 2020.
"""

from __future__ import annotations

import numpy as np

from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._retrain import retrain_without, two_trainings, without_random_rows
from uncork.schema.artifacts import FingerprintsData
from uncork.schema.errors import Unavailable


@remedy(
    title="Take leaked rows out of train and train again",
    safety="checked",
    yardstick="gate",
    control=without_random_rows,
    price=two_trainings,
)
def apply(case: Case) -> Treated:
    needs_recipe(case.subject, "training again without the leaked rows")
    prints: FingerprintsData = case.artifacts["fingerprints"]
    scored = {h.tobytes() for h in np.concatenate([prints.validation, prints.test])}
    leaked = np.array([h.tobytes() in scored for h in prints.train])
    if not leaked.any():
        raise Unavailable("no row of train is an exact copy of a row that scores the model")
    if leaked.all():
        raise Unavailable("every row of train is a copy of a row that scores the model: nothing is left to train on")
    return retrain_without(case, leaked, f"{int(leaked.sum())} rows left out of train: copies of validation or test")
