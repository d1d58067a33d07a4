"""Training stops too early.

What it measures
----------------
What the recipe gains by 4 times as many optimiser steps, all else equal, the schedule stretched with them. It audits
the recipe, by models trained afresh, not the checkpoint.

Why it limits the model
-----------------------
What has not been fitted yet costs errors that neither data nor a larger net would mend; and a learning curve read off
such a recipe tells of steps, not of rows.

Estimator
---------
Screen: 4 halves with 4 times the steps against the plain halves, on the rows of train that a half did not see; t over 2
permutations of complementary halves. If they gain, 5 models of all of train are trained so (3 at least, where
the budget is short), and their gain over the plain ones of the same seeds on validation is the headroom: mean over rows
and seeds, crossed variance components. If not, the headroom is known as bounds only: between nothing and the screen's
upper end.
`train`, `validation`: what plain models of all of train score there, mean over rows and seeds. Train nearly as bad as
validation speaks for training that stops early, or for a net too small.

When it misleads
----------------
A net that overfits loses by more steps and is then clear, rightly, though an early stop would gain. Wrong labels are
learnt by heart with more steps, and hide a gain. A learning rate too small looks like too few steps: compare the two.
Where the recipe stops by itself on held-out rows, the number of steps is not its limit.

Remedies and their safety
-------------------------
`schedule` (checked): trains for 4 times as many steps, against the best start of 4 trainings. `average-weights`
(checked): the mean of the weights over the last quarter of training, which may stand in for a longer schedule.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> tried = a_pool(2000, 2000, error=0.2, arms={"steps-x4": -0.05}, confirmed=("steps-x4",), memorised=False)
>>> found = measure(pool=tried, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 50 < found.headroom.high, found.estimates["train"].value > 150
(True, True)

References
----------
Hoffer, Hubara & Soudry, Train longer, generalize better, NeurIPS 2017.
Hoffmann et al., Training compute-optimal large language models, NeurIPS 2022.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import arm_table, confirmed, plain, screens, unanswered
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData


@probe(
    tier="defect",
    column="quality",
    title="4 times as many steps train no better model",
    failure_title="Training stops too early",
    requires={"pool": Pool(halves=4, full=SEEDS, questions=("steps",)), "facts": Facts()},
    remedies=("schedule", "average-weights"),
    promises="schedule",
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if (reason := unanswered(pool, "steps")) is not None:
        return NotApplicable(reason)
    answer = confirmed(pool, facts.metric, "steps")
    return Measurement(
        {**screens(pool, facts.metric, "steps"), **plain(pool, facts.metric)},
        headroom=answer.headroom,
        details=(arm_table(pool, facts.metric, ("steps",)),),
        summary=answer.sentence,
    )
