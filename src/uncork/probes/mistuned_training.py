"""Another learning rate trains a better model.

What it measures
----------------
What the recipe gains by a learning rate 8 times smaller or larger, or where that is better 64 times, all else equal:
rows, steps, seeds. It audits the recipe, by models trained afresh, not the checkpoint.

Why it limits the model
-----------------------
Too small a rate stops short of the minimum; too large a one never settles, or settles worse. Which rate is right
depends on data, net and batch, and is seldom tried out.

Estimator
---------
Screen: each arm against the plain halves, on the rows of train that a half did not see; mean of 4 halves, t over 2
permutations of complementary halves. Beyond a rate that gains there, one 8 times further is screened too. The arm that
gains most, if any does, is trained on all of train from the same seeds as the plain models (5, fewer where the budget
is short, 3 at least), and its gain on validation, which took no part in the choice, is the headroom: mean over rows and
seeds, crossed variance components. Where no arm gains in the screen the headroom is known as bounds only: between
nothing and the larger of the arms' upper ends at half size. Arms of which a model diverged count as gaining nothing.

When it misleads
----------------
A few rates are no search: a finer one gains at least as much as what is confirmed, up to noise (`untried-settings`
shows what a search reaches, and which settings matter). Screening at half size may drop an arm that gains only with all
of train. A recipe that has too few steps likes a larger rate for that reason.

Remedies and their safety
-------------------------
`tune` (checked): searches around the rate named, judged on rows of train held out for that.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> tried = a_pool(2000, 2000, arms={"lr-over-8": -0.05, "lr-x8": 0.02}, confirmed=("lr-over-8",))
>>> found = measure(pool=tried, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 50 < found.headroom.high, found.headroom.unit
(True, 'errors per 1,000')

References
----------
Sivaprasad et al., Optimizer benchmarking needs to account for hyperparameter tuning, ICML 2020.
Bouthillier et al., Accounting for variance in machine learning benchmarks, MLSys 2021.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import arm_table, confirmed, screens, unanswered
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData


@probe(
    tier="defect",
    column="quality",
    title="No other learning rate that was tried trains a better model",
    failure_title="Another learning rate trains a better model",
    requires={"pool": Pool(halves=4, full=SEEDS, questions=("tuning",)), "facts": Facts()},
    remedies=("tune",),
    promises="tune",
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if (reason := unanswered(pool, "tuning")) is not None:
        return NotApplicable(reason)
    answer = confirmed(pool, facts.metric, "tuning")
    return Measurement(
        screens(pool, facts.metric, "tuning"),
        headroom=answer.headroom,
        details=(arm_table(pool, facts.metric, ("tuning",)),),
        summary=answer.sentence,
    )
