"""The model does better on what it was trained on than on what is new to it.

What it measures
----------------
The gap of the metric between train and validation, both with the checkpoint in eval mode; and, where the recipe can be
trained again, what it gains by 30 times the weight decay, which is of the recipe, not of the checkpoint.

Why it limits the model
-----------------------
What was learnt by heart is worth nothing on new rows; regularisation, cleaner labels or more data may turn some of
the gap into skill.

Estimator
---------
`gap`: metric on validation minus metric on train (a seeded sample of at most 20,000 rows), positive where train is
better; independent samples, Welch's t, or MOVER where the two intervals are exact. Unit: one row. Train rows are not
new rows, so the gap is a property of this checkpoint.
Headroom: the weight-decay arm's gain, where it gains in a screen (4 halves of train against plain ones, on the rows
that a half did not see) and so is confirmed: 3 to 5 models of all of train against the plain ones of the same seeds, on
validation, mean over rows and seeds by crossed variance components. Otherwise, and where that gain is surely below δ,
bounds only: between nothing and the whole gap, because no remedy can be told from the gap alone, and one that fails
does not speak for the others. With the gap's upper end below δ the verdict is clear, else undetermined until a remedy
has been tried.

When it misleads
----------------
Wrong labels in train imitate it. An interpolating net shows a large gap and may still be as good as this data allows.
Leaked rows hide it. Augmentation makes train harder in training than it is here. Weight decay is one way to regularise
of many: a confirmed gain is no upper bound of what they would.

Remedies and their safety
-------------------------
`drop-examples` (checked): leaves out train rows whose label the rest of train contradicts, since these are what a net
must learn by heart. `regularise` (checked): 10 or 30 times the weight decay. `early-stop` (checked): stops where the
loss on held-out rows is lowest. `augment` (checked): changes rows at random, as the label allows. `average-weights`
(checked): the mean of the weights over the last quarter of training. Each against the recipe as it is.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.pools import a_pool, no_pool
>>> seen, new, rng = a_pass(2000, error=0.0), a_pass(1000, error=0.1), np.random.default_rng(0)
>>> found = measure(train=seen, validation=new, pool=no_pool(), facts=facts(), rng=rng)
>>> found.headroom.low, round(found.estimates["gap"].value)
(0.0, 100)
>>> tried = a_pool(2000, 2000, arms={"decay-x30": -0.05}, confirmed=("decay-x30",))
>>> found = measure(train=seen, validation=new, pool=tried, facts=facts(), rng=rng)
>>> found.headroom.low < 50 < found.headroom.high
True

References
----------
Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017. Zou & Donner, Construction of
confidence limits about effect measures, Statistics in Medicine 27, 2008.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import arm_table, confirmed, gain_or, screens, unanswered
from uncork.derived.bounds import at_most
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Estimate, Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData
from uncork.stats.means import difference
from uncork.stats.score import score


@probe(
    tier="defect",
    column="quality",
    title="Train is not learnt by heart",
    failure_title="The model does better on train than on what is new to it",
    requires={
        "train": Pass("train", rows=20_000),
        "validation": Pass("validation"),
        "pool": Pool(halves=4, full=SEEDS, questions=("regularisation",)),
        "facts": Facts(),
    },
    remedies=("drop-examples", "regularise", "early-stop", "augment", "average-weights"),
    promises="regularise",
)
def measure(
    *, train: PassData, validation: PassData, pool: PoolData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    metric = facts.metric
    seen, new = score(metric, train), score(metric, validation)
    gap = difference(new, seen, unit=metric.unit).scaled(metric.sign, metric.unit)
    estimates = {"train": seen, "validation": new, "gap": gap}
    headroom = at_most(gap, "the whole gap")
    said = f"{metric.name} on train {_text(seen)}, on validation {_text(new)}, {metric.unit}."
    if unanswered(pool, "regularisation") is not None:
        return Measurement(estimates, headroom=headroom, summary=said)
    answer = confirmed(pool, metric, "regularisation")
    return Measurement(
        {**estimates, **screens(pool, metric, "regularisation")},
        headroom=gain_or(answer, headroom, metric.delta_at(new.value or 0.0)),
        details=(arm_table(pool, metric, ("regularisation",)),),
        summary=f"{said} {answer.sentence}",
    )


def _text(estimate: Estimate) -> str:
    form = ".0f" if estimate.unit.endswith("per 1,000") else ".3g"
    return "unknown" if estimate.value is None else f"{estimate.value:{form}}{interval(estimate, form)}"
