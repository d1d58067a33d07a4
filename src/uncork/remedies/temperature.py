"""Divide the logits by one number.

What it does
------------
Fits the temperature of least log-loss on one half of validation, and divides every logit by it from then on.

Why it helps
------------
Nets trained to the end say more than they know. One number cools all confidences alike.

Control
-------
The same model without a temperature: fitting one number costs no training that a control could spend otherwise.

Safety
------
safe: dividing all logits of a row by one positive number moves no argmax.

When it fails
-------------
Where some classes or groups are too sure and others not sure enough: one number can't mend both. It is judged by the
log-loss on the other half of validation, and dropped where that does not fall. It is a statement about data like
validation: after a shift it must be fitted again.

References
----------
Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, ICML 2017.
"""

from __future__ import annotations

from uncork.derived.temperature import best_temperature
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable


@remedy(
    title="Divide the logits by a temperature",
    safety="safe",
    yardstick="log-loss",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    if case.task != "classification":
        raise Unavailable("a temperature needs class probabilities")
    model = adapt(case.subject, case.task)
    split = case.subject.validation
    logits = logits_of(model, split)
    temperature = best_temperature(logits, split.y)
    return Treated(
        case.subject.replace(model=Tempered(model, temperature)),
        changes=f"logits divided by {temperature:.4g}, fitted on {len(split)} rows of validation",
    )
