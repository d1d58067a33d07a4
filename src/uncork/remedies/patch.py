"""Correct named mistakes without training again.

What it does
------------
Keeps a memory of corrected rows in the model's features (its logits where it has none). A row that comes to lie within
the radius of one gets its class, all others what they got, bit for bit. Corrected are the mistakes of the half of
validation that is fitted on; those that a user names are `uncork patch`'s. Radii are calibrated on the half's right
rows, so that about 1 in 1,000 is broken. Corrections can be taken back.

Why it helps
------------
A mistake that someone named is mended at once, and its near copies with it.

Control
-------
The model as it stands: a memory costs no training that a control could spend otherwise. As many corrections to random
classes would harm by design, and make any remedy look good.

Safety
------
checked: decisions change; judged by the metric on the other half of validation, which no correction has seen, and
proven on test. Only what comes back is gained there: that named rows themselves are mended, `uncork patch` tells.

When it fails
-------------
Where mistakes are scattered among right rows: no radius holds one and not the other, and new rows gain nothing, so
that it is dropped. That is the usual case; it gains where mistakes lie together.

References
----------
Mitchell et al., Memory-based model editing at scale, ICML 2022. Hartvigsen et al., Aging with GRACE: lifelong model
editing with discrete key-value adaptors, NeurIPS 2023.
"""

from __future__ import annotations

import numpy as np

from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.patched import Patched, Places, places, remembered
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable

MOST = 1000
MOST_ROWS = 10_000  # of validation: their distances to all corrections are worked out


@remedy(
    title="Correct named mistakes, and what lies close to them",
    safety="checked",
    yardstick="metric",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
    as_is=True,
    on_request=True,
)
def apply(case: Case) -> Treated:
    if case.task != "classification":
        raise Unavailable("a correction names a class: a regression decides none")
    subject = case.subject
    model = aligned(adapt(subject, case.task), case.classes)
    if not model.has_inputs:
        raise Unavailable("only predictions were given: there is no model to patch")
    split = subject.validation
    if len(split) > MOST_ROWS:
        split = split.subset(np.sort(case.rng.permutation(len(split))[:MOST_ROWS]))
    known = places(model, split, np.arange(len(split)))
    rows = np.sort(case.rng.permutation(np.flatnonzero(known.decided != split.y))[:MOST])
    if not len(rows):
        raise Unavailable(f"the model is right on all {len(split)} rows of validation that it could be corrected on")
    keys, centres, labels = [f"validation:{id}" for id in split.ids[rows]], known.points[rows], split.y[rows]
    beside = np.setdiff1d(np.arange(len(split)), rows)
    others = Places(known.points[beside], known.logits[beside], known.space)
    clusters = beside if split.groups is None else np.unique(split.groups[beside], return_inverse=True)[1]
    memory = remembered(keys, centres, labels, others, split.y[beside], clusters)
    if not len(memory):
        raise Unavailable(f"none of {len(keys)} mistakes can be told from rows that are right")
    lost = len(keys) - len(memory)
    return Treated(
        subject.replace(model=Patched(model, memory)),
        changes=f"{len(memory)} mistakes corrected where they lie in the model's {known.space}"
        + (f"; {lost} can't be told from rows that are right" if lost else ""),
        amount=len(memory),
    )
