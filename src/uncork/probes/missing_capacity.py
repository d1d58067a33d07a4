"""The net is too narrow for the task.

What it measures
----------------
What the recipe gains by layers 4 times as wide, all else equal: rows, steps, seeds. It audits the recipe, by models
trained afresh, not the checkpoint.

Why it limits the model
-----------------------
What a net can't represent, no training teaches it. No theory says how wide a task needs it, so it is tried.

Estimator
---------
Screen: 4 halves of 4 times the width against the plain halves, on the rows of train that a half did not see; t over 2
permutations of complementary halves. If they gain, 5 models of all of train are trained so (3 at least, where
the budget is short), and their gain over the plain ones of the same seeds on validation is the headroom: mean over rows
and seeds, crossed variance components. If not, the headroom is known as bounds only: between nothing and the screen's
upper end.
`train`, `validation`: what plain models of all of train score there, mean over rows and seeds. A net too narrow is
nearly as bad on train as on what is new to it.

When it misleads
----------------
A wider net also trains faster in the same steps: where more steps gain as much, the net is not too narrow. The plain
learning rate may suit the wider net worse, and hide a gain. Width is tried, depth and other kinds of net are not.

Remedies and their safety
-------------------------
A wider net (advice): it costs time and memory with every prediction.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> sizes = {"": 1000, "width-x4": 10_000}
>>> tried = a_pool(2000, 2000, error=0.2, arms={"width-x4": -0.05}, confirmed=("width-x4",), parameters=sizes)
>>> found = measure(pool=tried, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 50 < found.headroom.high, found.summary[-46:]
(True, 'Parameters: 1,000, and 10,000 with that width.')

References
----------
Hestness et al., Deep learning scaling is predictable, empirically, arXiv 1712.00409, 2017.
Nakkiran et al., Deep double descent, ICLR 2020.
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
    title="A net 4 times as wide does no better",
    failure_title="The net is too narrow for the task",
    requires={"pool": Pool(halves=4, full=SEEDS, questions=("capacity",)), "facts": Facts()},
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if (reason := unanswered(pool, "capacity")) is not None:
        return NotApplicable(reason)
    answer = confirmed(pool, facts.metric, "capacity")
    sizes = [pool.parameters.get(arm) for arm in ("", "width-x4")]
    counted = "" if None in sizes else f" Parameters: {sizes[0]:,}, and {sizes[1]:,} with that width."
    return Measurement(
        {**screens(pool, facts.metric, "capacity"), **plain(pool, facts.metric)},
        headroom=answer.headroom,
        details=(arm_table(pool, facts.metric, ("capacity",)),),
        summary=f"{answer.sentence}{counted}",
    )
