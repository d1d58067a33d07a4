"""The net is wider than the task needs.

What it measures
----------------
What the recipe loses by layers 4 times narrower, all else equal: rows, steps, seeds; and how many parameters that
saves. It audits the recipe, by models trained afresh, not the checkpoint.

Why it limits the model
-----------------------
Parameters that buy nothing cost memory, time and energy with every prediction.

Estimator
---------
`loss_at_half_size`: 4 narrow halves against the plain ones, on the rows of train that a half did not see; t over 2
permutations of complementary halves. Where it is surely above δ the width is needed, and that is the verdict. Else 5
narrow models of all of train (3 where the budget is short) are trained, and judged on validation against the plain ones
of the same seeds: `loss`, mean over rows and seeds, crossed variance components. The net is too wide where the upper
end of the loss is below δ, needed as wide where its lower end is above. What these rows and seeds resolve, the upper
end that no loss at all would have, is said first: where that is above δ, nothing can be claimed, however good the
narrow net.
Headroom: the factor by which parameters go down, counted; bounds only while undetermined.

When it misleads
----------------
A loss below δ is tolerated, not absent. Rare cases may be what width is for, and the mean does not show them. Fewer
parameters are no promise of as much less time: measure it. Only one width is tried: a narrower one may do.

Remedies and their safety
-------------------------
`narrow` (checked): a net 4 times narrower, kept where it surely loses less than δ. `distil` (checked): one 2 or 4 times
narrower that learns from this one's answers too, where it is also surely faster. Tried when they are asked for.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.pools import a_pool
>>> sizes = {"": 10_000, "width-over-4": 1000}
>>> tried = a_pool(9000, 9000, error=0.01, arms={"width-over-4": 0.0}, confirmed=("width-over-4",), parameters=sizes)
>>> found = measure(pool=tried, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.value, found.estimates["loss"].high < found.against.at_least
(10.0, True)

References
----------
Hooker et al., What do compressed deep neural networks forget?, arXiv 1911.05248, 2019.
Tan & Le, EfficientNet, ICML 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import arm_table, confirmed, delta, screened, unanswered
from uncork.derived.resolved import factor_within, resolved
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData

ARM = "width-over-4"


@probe(
    tier="defect",
    column="cost",
    title="A net 4 times narrower does worse",
    failure_title="The net is wider than the task needs",
    requires={"pool": Pool(halves=4, full=SEEDS, questions=("excess",)), "facts": Facts()},
    remedies=("narrow", "distil"),
)
def measure(*, pool: PoolData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if (reason := unanswered(pool, "excess")) is not None:
        return NotApplicable(reason)
    metric = facts.metric
    tolerated, half, answer = delta(pool, metric), screened(pool, metric, ARM), confirmed(pool, metric, "excess")
    gains = {"loss": answer.gain, "loss_at_half_size": half}
    losses = {name: gain.scaled(-1, gain.unit) for name, gain in gains.items() if gain is not None}
    judged = "loss" if "loss" in losses else "loss_at_half_size"
    loss = losses.get(judged)
    # At half size only a loss that is surely too large is believed.
    decides = loss is not None and (judged == "loss" or (loss.low is not None and loss.low >= tolerated))
    return Measurement(
        losses,
        headroom=_factor(pool, losses.get("loss"), tolerated) if judged == "loss" else None,
        against=Limit(judged, at_least=tolerated) if decides else None,
        details=(arm_table(pool, metric, ("excess",)),),
        summary=f"{resolved(losses.get('loss'), tolerated)}{answer.sentence}",
    )


def _factor(pool: PoolData, loss: Estimate | None, tolerated: float) -> Estimate | None:
    """Parameters of the plain net over those of the narrow one: counted where the loss is surely below δ."""
    many, few = (pool.parameters.get(arm) for arm in ("", ARM))
    if not many or not few:
        return None
    return factor_within(many / few, loss, tolerated, unit="times fewer parameters", n=many)
