"""The model takes strangers for its own.

What it measures
----------------
How many rows that the model was not made for pass for its own: those that the user gave, rows of classes that the
recipe was trained without, and noise. By what the model itself says, its largest probability, and by scores of its
logits and features beside it: energy, Mahalanobis distance, distance to the nearest rows of train.

Why it limits the model
-----------------------
A classifier names a class for anything it is shown. Where it is as sure of a stranger as of its own rows, nobody who
reads its answers can tell.

Estimator
---------
`unrecognised`: share of strangers that pass where `require["false_rejection"]` of the model's own rows may be rejected,
against `require["strangers"]`. The threshold is the order statistic of half of validation's confidences beyond which
that share is expected (as in split conformal prediction); `false_rejection` is what it rejects of the other half. Of a
model that hands rows over: the strangers it answers, and the known rows it does not.
The user's strangers decide; without any, classes left out; else noise. The confidence alone judges, so that no score is
chosen. One half of the strangers may choose one: by that score, its threshold set as `reject` sets it, `reject_gain`
fewer of the other half would pass. Clopper-Pearson over strangers, Korn-Graubard over groups of them and over classes
left out, which are a sample of all: few give wide intervals. `auroc_...` (DeLong; t over classes left out) and
`fpr95_...` (strangers that pass where 95 % of known rows do), by score, are of the strangers that decide; the table has
all kinds. Thresholds are taken as they are: no interval holds how another half would have set them. Headroom, exposed:
strangers per 1,000 that pass beyond those allowed.

When it misleads
----------------
It is about strangers like those measured. Noise is far from anything: that it is recognised says nothing of what is
nearer, so that on noise alone the upper end is 1, and no model is clear. Classes left out are judged on models trained
without them, not on this one. Given strangers that are known after all, such as a new style of the same classes, are
rightly taken for known.

Remedies and their safety
-------------------------
reject: hands over what is strange by the score that tells strangers best (safe). Where that is the confidence itself,
a threshold on it does as much. More classes, or strangers as a class of their own, in training (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.strangers import strangers
>>> for apart in (0.0, 5.0):
...     found = measure(strangers=strangers(apart=apart), facts=facts(), rng=np.random.default_rng(0))
...     print(round(found.estimates["auroc_probability"].value, 1), found.estimates["unrecognised"].low > 0.1)
0.5 True
1.0 False

References
----------
Hendrycks & Gimpel, A baseline for detecting misclassified and out-of-distribution examples, ICLR 2017. Liu, Wang, Owens
& Li, Energy-based out-of-distribution detection, NeurIPS 2020. Lee et al., A simple unified framework for detecting
out-of-distribution samples, NeurIPS 2018. Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML
2022. Nguyen, Yosinski & Clune, Deep neural networks are easily fooled, CVPR 2015.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.recognised import (
    OWN,
    auroc,
    best_score,
    fpr,
    gained,
    passed_share,
    passing,
    rejected_share,
    sureness,
)
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.strangers import KINDS, NOISE, Strangers, StrangersData
from uncork.stats.selective import fewest_rows

WORDS = {
    "given": "given strangers",
    "left-out": "rows of classes left out in training",
    "uniform": "rows of uniform noise",
    "shuffled": "rows of shuffled columns",
}


@probe(
    tier="defect",
    column="trust",
    title="The model tells strangers from its own",
    failure_title="The model takes strangers for its own",
    requires={"strangers": Strangers(), "facts": Facts()},
    remedies=("reject",),
    preview=True,
)
def measure(*, strangers: StrangersData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    data, kinds = strangers, strangers.deciding
    if not kinds:
        return NotApplicable("; ".join(data.missing.values()))
    rate, level, most = (facts.require[name] for name in ("false_rejection", "confidence", "strangers"))
    setting = int((data.of("known") & data.chooses & (data.model == 0)).sum())
    if rate * (setting + 1) < 1:
        return NotApplicable(f"half of validation has {setting} rows: too few for a threshold that rejects {rate:g}")
    passes = passing(data, rate)
    found = passed_share(data, passes, *kinds)
    if set(kinds) <= set(NOISE):
        found = replace(found, high=1.0, se=None, df=None, method=f"{found.method}; noise is far: no upper end")
    exposed = found.scaled(1000, "strangers per 1,000").shifted(-1000 * most)
    best = best_score(data, rate)
    estimates = {
        "unrecognised": found,
        "false_rejection": rejected_share(data, passes),
        "sureness": sureness(data, *kinds),
        **{f"auroc_{score}": auroc(data, score, *kinds) for score in data.scores},
        **{f"fpr95_{score}": fpr(data, score, *kinds) for score in data.scores},
    }
    if not data.hands_over and best != OWN and setting >= fewest_rows(1 - rate, level):
        estimates["reject_gain"] = gained(data, best, rate, level)
    return Measurement(
        estimates,
        headroom=exposed,
        against=Limit("unrecognised", at_most=most),
        details=(_table(data),),
        summary=_say(data, estimates, best),
    )


def _table(data: StrangersData) -> Detail:
    rows = [
        [kind, score, auc.n, _shown(auc), _shown(fpr(data, score, kind))]
        for kind in KINDS[1:]
        if data.of(kind).any()
        for score in data.scores
        for auc in [auroc(data, score, kind)]
    ]
    table = {"columns": ["strangers", "score", "rows", "AUROC", "FPR at 95 % TPR"], "rows": rows}
    missing = "; ".join(f"{kind}: {reason}" for kind, reason in data.missing.items())
    return Detail("table", "Strangers by kind and score", table, note=missing)


def _shown(estimate: Estimate) -> str:
    return "undetermined" if estimate.value is None else f"{estimate.value:.3f}{interval(estimate, '.3f')}"


def _say(data: StrangersData, estimates: dict[str, Estimate], best: str) -> str:
    found, sure, false = (estimates[n].value or 0.0 for n in ("unrecognised", "sureness", "false_rejection"))
    what = " and ".join(WORDS[kind] for kind in data.deciding)
    how = "are answered" if data.hands_over else "(all are answered) pass by the model's confidence"
    said = (
        f"{100 * found:.0f} % of {what} {how}, while {100 * false:.1f} % of known rows are rejected; "
        f"it is {100 * sure:.0f} % sure of strangers on average."
    )
    gain = estimates.get("reject_gain")
    return said + ("" if gain is None else f" By {best} {100 * max(0.0, found - (gain.value or 0.0)):.0f} % would.")
