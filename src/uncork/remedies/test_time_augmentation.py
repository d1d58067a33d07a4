"""Answer by the mean over several views of a row.

What it does
------------
Shows the model each row and a few changed views of it (shifted, turned, scaled, mirrored, brighter and darker pictures;
texts in lower case, without punctuation, mistyped) and answers by the mean probability. Which views is chosen on one
half of validation by the subject's metric.

Why it helps
------------
What a net has not learnt to leave out of account moves its answers from view to view; their mean doesn't, and is right
more often where the views show the same.

Control
-------
The model as it stands: nothing is trained that a control could spend otherwise. Each answer takes as many times as long
as there are views, which is stated.

Safety
------
checked: decisions change; judged by the metric on the other half of validation, proven on test.

When it fails
-------------
Where views move labels (a 6 turned to a 9) or are unlike anything in train: the half of validation that chooses tells.
`augment` teaches the net the same once and for all, at the price of training. Views that the user states are code of
his own, and are not put around the model. Tables have none.

References
----------
Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015. Shanmugam et al.,
Better aggregation in test-time augmentation, ICCV 2021.
"""

from __future__ import annotations

import numpy as np

from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.viewed import Viewed
from uncork.models.views import kinds_of, views
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.artifacts import PassData
from uncork.schema.errors import Unavailable
from uncork.stats.score import gain

SHOWN = 8


@remedy(
    title="Answer by the mean over views of a row",
    safety="checked",
    yardstick="metric",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    subject, split = case.subject, case.subject.validation
    if case.task != "classification":
        raise Unavailable("the mean over views is of probabilities: a regression has none")
    model = aligned(adapt(subject, case.task), case.classes)
    names = kinds_of(split.take(np.arange(min(SHOWN, len(split))))) if model.has_inputs else ()
    if not names:
        raise Unavailable("no views are known of such rows: they are of pictures and texts")
    before = PassData.of_logits(logits_of(model, split), split.y)
    viewed = {name: Viewed(model, name) for name in names}
    passes = {name: PassData.of_logits(logits_of(each, split), split.y) for name, each in viewed.items()}
    gains = {name: gain(subject.metric, before, passed).value or 0.0 for name, passed in passes.items()}
    best = max(gains, key=lambda name: gains[name])
    if gains[best] <= 0:
        raise Unavailable(f"no mean over views ({', '.join(names)}) does better on {len(split)} rows of validation")
    count = 1 + len(views(best))
    return Treated(
        subject.replace(model=viewed[best]),
        changes=f"answers are the mean over a row and its views {best}, chosen on {len(split)} rows of validation: "
        f"each takes {count} times as long",
        amount=count,
    )
