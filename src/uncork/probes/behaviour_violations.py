"""The model does not behave as it should on cases that nobody would dispute.

What it measures
----------------
How often it breaks each stated relation. Of texts: a sentence whose class is plain (praise, blame, negated praise,
sarcasm, what is meant by the former) and what should not matter (another name, a typing error, a neutral sentence). Of
pictures: one pixel's move, a little more or less light, slight noise. Of tables: noise within the rounding. And what
the user states (`Subject(behaviours=[...])`).

Why it limits the model
-----------------------
A test set repeats what is common. A model that reads "not good" as praise scores well on reviews that seldom say it,
and fails whoever does.

Estimator
---------
One figure a relation: share of its cases that break it; Clopper-Pearson over rows, Korn-Graubard over templates (or
groups of rows), which count as many times as they are alike: fillings of one template stand or fall together. All
relations' intervals hold together (Bonferroni), so that the worst may be judged: `worst`, against
`require["behaviour"]`. Relations on rows and on templates are never pooled: their cases are of different worlds.
Headroom, exposed: violations per 1,000 cases of the worst relation beyond those allowed.

When it misleads
----------------
Templates are sentences that their author thought of: a share over them is of such sentences, not of those in use; a
handful of templates can show a fault but hardly its absence, and the verdict is then undetermined. A change can move
the label after all: a pixel's move in a picture of a few, sarcasm that reads as praise. Built-in relations are chosen
so that this is rare. Decisions near the boundary flip at any change; a model that is unsure flips more.

Remedies and their safety
-------------------------
`augment` (checked) trains on rows changed at random. Or average the outputs over the changes, or add such cases to
train (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.behaviour import a_behaviour
>>> cases = a_behaviour(expected={"praise negated": 0.9}, unchanged={"slight noise": 0.0})
>>> found = measure(behaviours=cases, facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["worst"].value, found.estimates["worst"].low > 0.05
(0.9, True)

References
----------
Ribeiro et al., Beyond accuracy: behavioral testing of NLP models with CheckList, ACL 2020. Chen et al., Metamorphic
testing: a review of challenges and opportunities, ACM Computing Surveys 51, 2018. Azulay & Weiss, Why do deep
convolutional networks generalize so poorly to small image transformations?, JMLR 20, 2019.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.behaviour import Behaviours, BehavioursData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.binomial import share

UNIT = "violations per 1,000 cases"
STATED = {
    "expected": "the class of each filling is known",
    "varied": "fillings are decided alike",
    "unchanged": "the decision stays",
    "toward": "the output does not move against it",
}


@probe(
    tier="defect",
    column="trust",
    title="The model behaves as stated",
    failure_title="The model breaks stated behaviours",
    requires={"behaviours": Behaviours(), "facts": Facts()},
    remedies=("augment",),
)
def measure(*, behaviours: BehavioursData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    tried = [r for r in range(len(behaviours.names)) if (behaviours.relation == r).any()]
    if not tried:
        return NotApplicable("no row could be changed, and no template was given")
    limit = facts.require["behaviour"]
    each = 1 - 0.05 / len(tried)
    shares = {r: _share(behaviours, r, each) for r in tried}
    proven = [r for r in tried if (shares[r].low or 0.0) > limit]
    # What is surely broken judges, the most certain first; else what is least surely kept: clear are only all together.
    worst = (
        max(proven, key=lambda r: shares[r].low or 0.0)
        if proven
        else max(tried, key=lambda r: (shares[r].high is None, shares[r].high or 0.0, shares[r].value or 0.0))
    )
    estimates = {"worst": shares[worst]}
    for r in tried:
        estimates[behaviours.names[r]] = shares[r].scaled(1000, UNIT)
    name = behaviours.names[worst]
    rate = estimates[name]
    broken = ", ".join(f"{behaviours.names[r]} ({estimates[behaviours.names[r]].value or 0.0:.0f})" for r in proven)
    said = [f"{name}: {rate.value or 0.0:.0f}{interval(rate, '.0f')} of 1,000 cases break it."]
    said += [f"Surely beyond {1000 * limit:g}: {broken}."] if len(proven) > 1 else []
    said += [f"Not tried: {what}, since {why}." for what, why in behaviours.left_out.items()]
    return Measurement(
        estimates,
        headroom=rate.shifted(-1000 * limit),
        against=Limit("worst", at_most=limit),
        details=_evidence(behaviours, shares),
        summary=" ".join(said),
    )


def _share(behaviours: BehavioursData, relation: int, level: float) -> Estimate:
    of = behaviours.relation == relation
    found = share(behaviours.broke[of], behaviours.unit[of], level=level)
    if behaviours.kinds[relation] in ("expected", "varied"):
        return replace(found, unit="share of cases", method=found.method.replace("groups of rows", "templates"))
    return replace(found, unit="share of cases")


def _evidence(behaviours: BehavioursData, shares: dict[int, Estimate]) -> tuple[Detail, ...]:
    rows = [
        [
            behaviours.names[r],
            STATED[behaviours.kinds[r]],
            int((behaviours.relation == r).sum()),
            len(np.unique(behaviours.unit[behaviours.relation == r])),
            *(None if end is None else round(1000 * end, 1) for end in (found.value, found.low, found.high)),
        ]
        for r, found in shares.items()
    ]
    columns = ["behaviour", "stated", "cases", "templates or rows", "violations per 1,000", "from", "to"]
    details = [Detail("table", "Stated behaviours", {"columns": columns, "rows": rows})]
    if behaviours.examples:
        cases = [[name, *case] for name, some in behaviours.examples.items() for case in some]
        shown = {"columns": ["behaviour", "case", "expected", "answered"], "rows": cases}
        details.append(Detail("table", "Cases that broke one", shown))
    return tuple(details)
