"""The model does better on what it was trained on than on what is new to it.

What it measures
----------------
The gap of the metric between train and validation, both with the checkpoint in eval mode.

Why it limits the model
-----------------------
What was learnt by heart is worth nothing on new rows; regularisation, cleaner labels or more data may turn some of
the gap into skill.

Estimator
---------
`gap`: metric on validation minus metric on train (a seeded sample of at most 20,000 rows), positive where train is
better; independent samples, Welch's t, or MOVER where the two intervals are exact. Unit: one row. Train rows are not
new rows, so the gap is a property of this checkpoint. Headroom is known as bounds only: between nothing and the
whole gap, because no remedy can be told from the gap alone. With the gap's upper end below δ the verdict is clear,
else undetermined until a remedy has been tried.

When it misleads
----------------
Wrong labels in train imitate it. An interpolating net shows a large gap and may still be as good as this data allows.
Leaked rows hide it. Augmentation makes train harder in training than it is here.

Remedies and their safety
-------------------------
`drop-examples` (checked): leaves out train rows whose label the rest of train contradicts, since these are what a net
must learn by heart.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> found = measure(
...     train=a_pass(2000, error=0.0), validation=a_pass(1000, error=0.1), facts=facts(), rng=np.random.default_rng(0)
... )
>>> found.headroom.low, round(found.estimates["gap"].value)
(0.0, 100)

References
----------
Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017. Zou & Donner, Construction of
confidence limits about effect measures, Statistics in Medicine 27, 2008.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.bounds import at_most
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Estimate, Measurement, NotApplicable
from uncork.stats.means import difference
from uncork.stats.score import score


@probe(
    tier="defect",
    column="quality",
    title="Train is not learnt by heart",
    failure_title="The model does better on train than on what is new to it",
    requires={"train": Pass("train", rows=20_000), "validation": Pass("validation"), "facts": Facts()},
    remedies=("drop-examples",),
)
def measure(
    *, train: PassData, validation: PassData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    metric = facts.metric
    seen, new = score(metric, train), score(metric, validation)
    gap = difference(new, seen, unit=metric.unit).scaled(metric.sign, metric.unit)
    return Measurement(
        {"train": seen, "validation": new, "gap": gap},
        headroom=at_most(gap, "the whole gap"),
        summary=f"{metric.name} on train {_text(seen)}, on validation {_text(new)}, {metric.unit}.",
    )


def _text(estimate: Estimate) -> str:
    form = ".0f" if estimate.unit.endswith("per 1,000") else ".3g"
    return "unknown" if estimate.value is None else f"{estimate.value:{form}}{interval(estimate, form)}"
