"""Add to each class's logit what its share has changed by since train.

What it does
------------
Adds τ · log(share in validation / share in train) to the logits, with shares and τ (0, .25, … 4) from one half of
validation: the τ that errs least there, the smallest of those that err alike.

Why it helps
------------
A net learns how frequent each class is in train, and answers by it where the frequencies are others.

Control
-------
The same model without an offset: choosing one number costs no training that a control could spend otherwise.

Safety
------
checked: decisions change, from frequent classes to rarer ones.

When it fails
-------------
Where validation has train's shares there is nothing to correct, and where classes have few rows their shares are
guessed. It is a statement about shares like validation's: where others are met it must be fitted again.

References
----------
Saerens, Latinne & Decaestecker, Neural Computation 14, 2002. Menon et al., Long-tail learning via logit adjustment,
ICLR 2021.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.logit_adjustment import best_offset
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.offset import Offset
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable


@remedy(
    title="Adjust the logits to the shares of classes",
    safety="checked",
    yardstick="metric",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("shares of classes belong to classification")
    if subject.train is None or subject.train.y is None:
        raise Unavailable("shares of classes in train are not known: give Subject(train=...)")
    model, split = aligned(adapt(subject, case.task), case.classes), subject.validation
    logits = logits_of(model, split)
    offset, tau = best_offset(logits, split.y, np.bincount(subject.train.y, minlength=case.n_classes))
    if tau == 0:
        raise Unavailable(f"no offset gains on {len(split)} rows of validation")
    return Treated(
        subject.replace(model=Offset(model, offset)),
        changes=f"logits adjusted to the shares of classes (τ = {tau:g}), fitted on {len(split)} rows of validation",
    )
