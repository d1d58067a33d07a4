"""How sure the model is of rows that it was not made for.

What it gathers
---------------
The largest probability of every row of `strangers`, and whether the model answers it at all; of a subject without
strangers, and in a regression, nothing. Labels that strangers may have are not looked at.

How it streams
--------------
A batch at a time; about ten bytes a row are kept.

What it costs
-------------
One forward pass over the strangers.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.confidence import confidence
from uncork.gather._contract import Context, gatherer
from uncork.gather.forward import forward
from uncork.schema.stranger_answers import StrangerAnswers, StrangerAnswersData


def price(request: StrangerAnswers, context: Context) -> float:
    strangers = context.subject.strangers
    return 0.0 if strangers is None else len(strangers) * context.seconds_per_row


@gatherer(StrangerAnswers, price=price)
def gather(request: StrangerAnswers, context: Context) -> StrangerAnswersData:
    strangers = context.subject.strangers
    if strangers is None or context.facts.task != "classification":
        return StrangerAnswersData(np.zeros(0), np.zeros(0, bool))
    unlabelled = strangers.with_y(np.zeros(len(strangers), np.int64))
    passed = forward(context.model, unlabelled, batch_size=context.batch_size, name="strangers")
    return StrangerAnswersData(confidence(passed), passed.answered)
