"""Move the thresholds between classes to where decisions cost least.

What it does
------------
Adds a number to the logit of each class, chosen on one half of validation so that the subject's own metric, its cost
matrix or its errors, is least there. Of two classes that is the best cut point; of more, one class after the other is
moved until none gains.

Why it helps
------------
The likeliest class is the right decision only where all errors cost alike and the probabilities are right. A net that
was trained to be likely, not cheap, leaves the rest on the table.

Control
-------
The same model without an offset: choosing it costs no training that a control could spend otherwise.

Safety
------
checked: decisions change; judged on the other half of validation, proven on test.

When it fails
-------------
A threshold for a class with few rows follows chance: the other half of validation then gains nothing, and it is
dropped. Metrics that judge probabilities or an order have no threshold. Where costs or shares change it must be
chosen again.

References
----------
Elkan, The foundations of cost-sensitive learning, IJCAI 2001. Sheng & Ling, Thresholding for making classifiers
cost-sensitive, AAAI 2006.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.cheapest_offset import cheapest_offset
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.offset import Offset
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable


@remedy(
    title="Decide where it costs least",
    safety="checked",
    yardstick="metric",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    subject, metric = case.subject, case.subject.metric
    if case.task != "classification":
        raise Unavailable("thresholds between classes belong to classification")
    if metric.kind not in ("error", "accuracy", "cost"):
        raise Unavailable(f"{metric.name} judges no decisions: thresholds need error, accuracy or a cost matrix")
    model, split = aligned(adapt(subject, case.task), case.classes), subject.validation
    logits = logits_of(model, split)
    cost = metric.spec if metric.kind == "cost" else 1.0 - np.eye(len(case.classes))
    offset, before, after = cheapest_offset(logits, split.y, cost)
    if after >= before:
        raise Unavailable(f"no threshold gains on {len(split)} rows of validation")
    return Treated(
        subject.replace(model=Offset(model, offset)),
        changes=f"thresholds between classes moved by up to {np.abs(offset).max():.3g} of a logit, "
        f"chosen on {len(split)} rows of validation",
    )
