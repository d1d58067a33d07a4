"""The model tells who was in its training data.

What it measures
----------------
How well an attacker who has the recipe and data of the same kind, and sees a model's outputs, tells rows that the model
was trained on from rows that it was not.

Why it limits the model
-----------------------
Where being in the data is itself private (patients, customers), every answer of such a model gives some of it away.

Estimator
---------
Sixteen models, each trained on half of train. Each in turn is the target, and the other fourteen (without its
complement) are the attacker's: online LiRA on the logit-scaled confidence in the label, means by row, variances shared.
`tpr`: share of members found at 1 % false alarms, mean over targets; chance is .01. It is judged against .02, where two
of three alarms are true if every second row is a member. `auc`: of members against others, mean over targets; chance is
.5. Both: t over rows, or groups of rows, crossed with targets; the parts of rows by linearisation, at 1 % false alarms
with the threshold's own. Headroom, exposed: 1,000 × (tpr − .01), rows of train found beyond chance. Under 500 rows
outside of each half the 1 % are too few rows, and `tpr` is undetermined.

When it misleads
----------------
It is a lower bound on leakage: a better attack, more models or a lower rate of alarms find more. It is about the recipe
at half the rows, where models memorise more, not about this checkpoint. The attacker is strong: the labels are known to
him, and he has rows of train for models of his own. The intervals do not hold what another train set as a whole would
change. Where nothing leaks, `tpr`'s interval lies below .01 in 1 to 4 of 100 cases and above it in 1 or fewer: few hits
come with a small standard error.

Remedies and their safety
-------------------------
`regularise` (checked): more weight decay leaves less to be learnt by heart; it is judged by the metric, and what it
does for privacy stands beside it. `dp-sgd` (checked) bounds what any attack can find, at a stated ε and δ; judged by
whether the metric is not worse by more than δ. Giving out decisions instead of probabilities hides little (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> for memorised in (True, False):
...     pool = a_pool(n=1200, v=10, halves=16, full=0, memorised=memorised)
...     found = measure(pool=pool, facts=facts(), rng=np.random.default_rng(0))
...     print(found.estimates["auc"].low > 0.5, found.estimates["tpr"].low > 0.02)
True True
False False

References
----------
Carlini et al., Membership inference attacks from first principles, IEEE S&P 2022. Shokri et al., Membership inference
attacks against machine learning models, IEEE S&P 2017. Yeom et al., Privacy risk in machine learning, CSF 2018.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.membership import FPR, attack, confidences, success
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Limit, Measurement, NotApplicable
from uncork.schema.pool import Pool, PoolData
from uncork.stats.crossed import crossed

FEWEST = 16
OUTSIDE = 500
TOLERATED = 0.02


@probe(
    tier="defect",
    column="trust",
    title="The model does not tell who was in its training data",
    failure_title="The model tells who was in its training data",
    requires={"pool": Pool(halves=FEWEST), "facts": Facts()},
    remedies=("regularise", "dp-sgd"),
    preview=True,
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("the attack reads the confidence in a label: a regression states none")
    members = pool.members(2)
    if len(members) < FEWEST:
        why = (
            f"{len(members)} of {FEWEST} models retrained on halves of train: {pool.left_out.get('halves', 'left out')}"
        )
        return NotApplicable(pool.left_out.get("pool", why))
    trained_on = pool.trained_on[members]
    scores = attack(confidences(pool.on_train[members], pool.y), trained_on, _complements(pool, members))
    found = success(scores, trained_on)
    clusters = pool.clusters
    auc = crossed(found.auc, clusters=clusters, unit="AUC of the attack", bounds=(0, 1))
    tpr = crossed(found.tpr, clusters=clusters, unit=f"share of members found at {FPR:.0%} false alarms", bounds=(0, 1))
    said = f", {len(members)} targets of half size"
    auc, tpr = (replace(e, method=e.method.replace(" seeds", " targets"), seeds=None) for e in (auc, tpr))
    outside = int((~trained_on).sum(axis=1).min())
    if outside < OUTSIDE:
        method = f"{tpr.method} ({outside} rows outside, {OUTSIDE} are needed: undetermined)"
        tpr = replace(tpr, low=None, high=None, se=None, df=None, se_seeds=None, method=method)
    exposed = tpr.shifted(-FPR).scaled(1000, "rows of train per 1,000")
    at_one_percent = f"{1000 * (tpr.value or 0.0):.0f} of 1,000 members{interval(tpr.scaled(1000, ''), '.0f')}"
    return Measurement(
        {"tpr": tpr, "auc": auc},
        headroom=exposed,
        against=Limit("tpr", at_most=TOLERATED),
        details=(_roc(found.at.tolist(), found.curve.tolist()),),
        summary=f"An attack finds {at_one_percent} at 1 % false alarms, 10 by chance{said}: a lower bound.",
    )


def _complements(pool: PoolData, members: np.ndarray) -> np.ndarray:
    """Position among the members of each one's other half; its own where that is not there."""
    key = {(int(pool.permutation[i]), int(pool.part[i])): at for at, i in enumerate(members)}
    twins = [key.get((int(pool.permutation[i]), 1 - int(pool.part[i])), at) for at, i in enumerate(members)]
    return np.array(twins, dtype=np.int64)


def _roc(at: list[float], curve: list[float]) -> Detail:
    data = {
        "x": at,
        "y": curve,
        "low": None,
        "high": None,
        "x_label": "false alarms, share of rows outside",
        "y_label": "share of members found",
        "diagonal": True,
    }
    return Detail("curve", "Members found by false alarms", data, note="Mean over targets; chance is the diagonal.")
