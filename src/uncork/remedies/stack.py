"""Mix the model with the best rival family.

What it does
------------
Fits the winner of the trial on train by its best setting, and answers with a weighted mean of the model's probabilities
and the rival's (of their values in a regression), each reading the rows in its own way. The weight is the one of least
log-loss (squared error) on one half of validation.

Why it helps
------------
Families err on different rows. The mean of two that are about as good errs less than either, and a rival that adds
nothing gets no weight.

Control
-------
The model alone. To train it for longer, with the compute that fitted the rival, would be a remedy of its own.

Safety
------
checked: decisions change; judged on the other half of validation, proven on test. Both models have to answer.

When it fails
-------------
With few rows of validation the weight is a guess. A weight of least log-loss need not be the one of fewest errors:
a model too sure of itself gets less than it deserves, so mend the temperature first.

References
----------
Wolpert, Stacked generalization, Neural Networks 5, 1992. Breiman, Stacked regressions, Machine Learning 24, 1996.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from uncork.models.adapt import adapt, as_model
from uncork.models.aligned import Aligned, aligned, columns_of
from uncork.models.base import logits_of
from uncork.models.ensemble import Ensemble
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands
from uncork.remedies.swap_family import winner
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.loop import fit_any

LEAST_WEIGHT = 0.01


def price(subject: Subject, seeds: int) -> float:
    return 1.0  # the rival's; it is fitted once


@remedy(
    title="Mix the model with another family",
    safety="checked",
    yardstick="metric",
    control=as_it_stands,
    price=price,
    fits_on_validation=True,
    as_is=True,
)
def apply(case: Case) -> Treated:
    subject, recipe = case.subject, winner(case)
    (fitted,) = case.fan(fit_any, [(recipe, subject.train, integer_seed(case.seed, "rival"))])
    model, rival = adapt(subject, case.task), as_model(fitted, case.task)
    if case.task == "classification":
        columns = columns_of(rival, case.classes)
        assert columns is not None  # it was fitted on class indices
        model, rival = aligned(model, case.classes), Aligned(rival, columns, case.classes)
    y = subject.validation.y
    weight = best_weight(logits_of(model, subject.validation), logits_of(rival, subject.validation), y, case.task)
    if weight < LEAST_WEIGHT:
        raise Unavailable(f"mixed with {recipe.family} the model does no better on {len(y)} rows of validation")
    return Treated(
        subject.replace(model=Ensemble([model, rival], [1 - weight, weight])),
        f"{100 * weight:.0f} % of {recipe.family} mixed in, a share fitted on {len(y)} rows of validation",
        compute=1.0,
    )


def best_weight(mine: np.ndarray, rival: np.ndarray, y: np.ndarray, task: str) -> float:
    """The rival's share, 0 to 1, of least log-loss (logits (n, K)) or squared error (values (n, 1)) of the mean."""
    if task == "regression":
        apart = (rival - mine)[:, 0].astype(np.float64)
        square = apart @ apart
        return float(np.clip(apart @ (y - mine[:, 0]) / square, 0, 1)) if square else 0.0
    p, q = (np.exp(log_softmax(side.astype(np.float64), axis=1))[np.arange(len(y)), y] for side in (mine, rival))

    def loss(w: float) -> float:
        return float(-np.log(np.maximum((1 - w) * p + w * q, 1e-12)).mean())

    found: Any = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
    best = min((1.0, float(found.x)), key=loss)
    return best if loss(best) < loss(0.0) - 1e-9 else 0.0  # of two that say the same any share would do
