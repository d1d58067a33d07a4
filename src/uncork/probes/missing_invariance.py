"""The model does not know what leaves a row as it is.

What it measures
----------------
What the metric gains if the model answers by the mean over several views of a row: pictures shifted, turned by 15, 30
and 90 degrees, scaled, mirrored, brighter and darker; texts in lower case, without punctuation, mistyped; any rows as
the user states (`Subject(behaviours=[...])`). And how many more of the changed views are decided wrong.

Why it limits the model
-----------------------
What everybody knows of the task, that a digit turned a little is the same digit, a net has to learn from rows. What it
has not learnt costs it errors on every row that comes a little otherwise.

Estimator
---------
Headroom: gain of the subject's metric by the mean probability over a row and its views; which views, or none, is
chosen on one half of the rows by that very gain, and counted on the other, both ways; paired, as any gain of the
metric. A view that moves labels (a 6 turned to a 9) loses there and is not chosen: so the task itself says what it does
not mind.
`{way}`: by how many per 1,000 changed views are decided wrong more often than the rows as they are; paired, t over rows
or groups with a row added at either bound; all ways' intervals hold together (Bonferroni). It counts as a violation
where the user stated it, or where nearly any row keeps its label (shifts by a fourteenth, a tenth of brightness, case,
punctuation, a typing error); elsewhere it may be the label that moved. `violations`: the largest that counts.
`test_time_augmentation_gain`: the headroom without the views that the user states, which that remedy can't show.

When it misleads
----------------
What averaging gains is the least that could be had: a model trained on the views may gain more. It also gains where
nothing but noise is averaged away, as an ensemble does. A model that errs on views that no row of validation looks like
loses nothing here: the violations tell what it would lose elsewhere.

Remedies and their safety
-------------------------
`test-time-augmentation` (checked) answers by the mean over views. `augment` (checked) trains on rows changed so.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.missing_invariance import an_invariance
>>> views = an_invariance(error=0.15, averaged={"turned by 15°": 0.1, "mirrored": 0.4})
>>> found = measure(invariance=views, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 20
True
>>> measure(invariance=an_invariance(), facts=facts(), rng=np.random.default_rng(0)).headroom.high < 5
True

References
----------
Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015 (test-time
augmentation). Shanmugam et al., Better aggregation in test-time augmentation, ICCV 2021. Azulay & Weiss, Why do deep
convolutional networks generalize so poorly to small image transformations?, JMLR 20, 2019. Engstrom et al., Exploring
the landscape of spatial robustness, ICML 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.invariance import averaging_gain, best_way, lost
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.missing_invariance import Invariance, InvarianceData
from uncork.stats.score import gain

FEWEST = 50
GROUNDS = {"stated": "stated by you", "safe": "nearly any row keeps its label", "": "nothing: the label may move"}


@probe(
    tier="defect",
    column="quality",
    title="Other views of a row cost nothing that averaging could mend",
    failure_title="The model does not know what leaves a row as it is",
    requires={"invariance": Invariance(), "facts": Facts()},
    remedies=("test-time-augmentation", "augment"),
    promises="test-time-augmentation",
    preview=True,
)
def measure(*, invariance: InvarianceData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    data = invariance
    if len(data) < FEWEST:
        return NotApplicable(f"{len(data)} rows: fewer than {FEWEST} can't be halved to choose views by")
    each = 1 - 0.05 / len(data.names)
    losses = [lost(data, way, each) for way in range(len(data.names))]
    headroom = averaging_gain(data, facts.metric, rng)
    counting = [way for way, grounds in enumerate(data.grounds) if grounds]
    estimates: dict[str, Estimate] = {}
    known = np.array([way for way, grounds in enumerate(data.grounds) if grounds != "stated"], np.int64)
    if len(known) < len(data.names):  # the remedy puts no code of the user's around the model
        estimates["test_time_augmentation_gain"] = averaging_gain(data, facts.metric, rng, known)
    said = [
        f"Averaging over the views chosen gains {headroom.value or 0.0:.3g}{interval(headroom, '.3g')} {headroom.unit}."
    ]
    best, _ = best_way(data, facts.metric)
    if best >= 0:
        said.append(f"On all rows the mean over {data.names[best]} does best.")
    if counting:
        worst = max(counting, key=lambda way: losses[way].value or 0.0)
        estimates["violations"] = losses[worst]
        most = losses[worst]
        said.append(f"{data.names[worst]}: {most.value or 0.0:.1f}{interval(most)} more errors in 1,000 views.")
    estimates |= dict(zip(data.names, losses, strict=True))
    return Measurement(estimates, headroom, details=(_table(data, facts, losses),), summary=" ".join(said))


def _table(data: InvarianceData, facts: FactsData, losses: list[Estimate]) -> Detail:
    rows = []
    for way, loss in enumerate(losses):
        gained = gain(facts.metric, data.passed(), data.passed(way))
        ends = [None if end is None else round(end, 1) for end in (loss.value, loss.low, loss.high)]
        shown = [None if end is None else float(f"{end:.3g}") for end in (gained.value, gained.low, gained.high)]
        rows.append([data.names[way], GROUNDS[data.grounds[way]], *ends, *shown])
    columns = [
        "views",
        "label kept because",
        "more errors per 1,000 views",
        "from",
        "to",
        f"their mean gains ({facts.metric.unit})",
    ]
    columns += ["from", "to"]
    return Detail("table", "Views of rows", {"columns": columns, "rows": rows}, note="Gains: each alone, on all rows.")
