"""Rows without labels are there, and would teach the model something.

What it measures
----------------
What the better of pseudo-labelling and self-supervised pretraining makes of `Subject.unlabelled` with all the labels
there are; and, at half of them, how many times as many labels the recipe alone would need for as much.

Why it limits the model
-----------------------
Labels are dear and rows cheap. What inputs look like can be learnt from rows whose label nobody knows.

Estimator
---------
The method was chosen on a fifth of train that none of its models saw. With four fresh seeds it alone is confirmed on
validation. `gain`, the headroom: mean metric of the recipe on all of train less that of the method, over rows and
seeds, crossed variance components. `multiplier`: the number of labels at which the recipe's badness, on a line between
a quarter, a half and all of train in the logarithm of their number, is that of the method on the half, over that half;
interval: all numbers at which the difference is not told from 0, over rows and seeds. Rows that teach nothing have 1.
An end is missing where a quarter, or all, does not bound it. It is read at half of train, since what more labels than
there are would gain can only be forecast. Bias: that of straight lines; less is gained at all labels, as a rule.

When it misleads
----------------
Validation that is smaller than the labels could have spared buys more as train: undetermined then. Pretraining on
train's own rows gains too: `self-supervise` as a remedy is compared with just that. Unlabelled rows of another kind
than train's do harm. Only one setting of each method is tried.

Remedies and their safety
-------------------------
`pseudo-label` (checked): sure rows join train by the labels they are foretold. `self-supervise` (checked): the encoder
is trained on them first.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.unused_unlabelled import an_unlabelled
>>> made = an_unlabelled(half=0.24, whole=0.15)
>>> found = measure(unlabelled=made, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 5, found.estimates["multiplier"].low > 1
(True, True)

References
----------
Oliver et al., Realistic evaluation of deep semi-supervised learning algorithms, NeurIPS 2018. Bahri et al., SCARF, ICLR
2022. Chen et al., SimCLR, ICML 2020. Lee, Pseudo-label, ICML workshop 2013.
"""

from __future__ import annotations

import math

import numpy as np

from uncork.derived.gains import gain_of
from uncork.derived.label_multiplier import multiplier
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.unused_unlabelled import Unlabelled, UnlabelledData
from uncork.stats.score import score


@probe(
    tier="investment",
    column="quality",
    title="The unlabelled rows would teach the model little",
    failure_title="The unlabelled rows would teach the model something",
    requires={"unlabelled": Unlabelled(), "facts": Facts()},
    remedies=("pseudo-label", "self-supervise"),
    buys=(0.0, 5.0),
    preview=True,
)
def measure(*, unlabelled: UnlabelledData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric = facts.metric
    if metric.kind == "callable":
        return NotApplicable(f"{metric.name} is a function of many rows at once: no row's part of it is known")
    curve = [unlabelled.passes(each) for each in unlabelled.curve]
    gain = gain_of(metric, curve[-1], unlabelled.passes(unlabelled.with_all))
    # What the probe promises of the remedy that was chosen.
    estimates = {"gain": gain, f"{unlabelled.winner.replace('-', '_')}_gain": gain}
    if len(unlabelled.with_half):
        half = unlabelled.passes(unlabelled.with_half)
        estimates["multiplier"] = multiplier(metric, unlabelled.sizes, curve, half, int(unlabelled.sizes[-2]))
    return Measurement(
        estimates,
        headroom=gain,
        details=(_screened(unlabelled, metric), _confirmed(unlabelled, metric)),
        summary=_said(unlabelled, gain, estimates.get("multiplier")),
    )


def _screened(data: UnlabelledData, metric: Metric) -> Detail:
    rows = [
        [how, round(value, 4) if math.isfinite(value) else None]
        for how, value in zip((*data.methods, "the recipe"), data.screened, strict=True)
    ]
    note = f"{data.winner} went on. " + " ".join(f"{how}: {why}." for how, why in data.left_out.items())
    columns = ["method", f"{metric.name} ({metric.unit})"]
    title = f"Methods, chosen on {data.screen_rows} rows of train"
    return Detail("table", title, {"columns": columns, "rows": rows}, note.strip())


def _confirmed(data: UnlabelledData, metric: Metric) -> Detail:
    def mean(outputs: np.ndarray) -> float | None:
        values = [score(metric, each).value for each in data.passes(outputs)]
        return round(float(np.mean([value for value in values if value is not None])), 4) if values else None

    with_rows = [None] * (len(data.sizes) - 2) + [mean(data.with_half), mean(data.with_all)]
    rows = [[int(n), mean(c), w] for n, c, w in zip(data.sizes, data.curve, with_rows, strict=True)]
    columns = ["labels", f"the recipe ({metric.unit})", data.winner]
    note = f"On validation; mean of {data.curve.shape[1]} seeds. {data.unlabelled} unlabelled rows."
    return Detail("table", "With and without the unlabelled rows", {"columns": columns, "rows": rows}, note)


def _said(data: UnlabelledData, gain: Estimate, times: Estimate | None) -> str:
    said = f"{data.winner} on {data.unlabelled} unlabelled rows gains {gain.value:.3g}{interval(gain)} {gain.unit}."
    if times is None:
        return said
    worth = "can't be counted here"
    if times.value is not None:
        worth = f"are worth {times.value:.2g}{interval(times, '.2g')} times as many"
    elif times.low is not None:
        worth = f"are worth more than {times.low:.2g} times as many"
    return f"{said} {data.sizes[-2]} labels with them {worth}."
