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
`bits`: what train's labels cost a row, prequentially, in blocks of an eighth, an eighth, a quarter and a half: the
first by log2 K, each further one by models of all rows before it, with a temperature from other rows, averaged over
orders: over the models of a size that have not seen the row. `bits_linear`, `bits_gbdt`: the same of linear models and
boosted trees (classes only, train of at most 5,000 rows). The family of the fewest bits learns the task from the fewest
rows. They take no part in the verdict. t over rows, or groups of them, of these very models; the table has what a
family saves against the recipe, paired by row.

When it misleads
----------------
A wider net also trains faster in the same steps: where more steps gain as much, the net is not too narrow. The plain
learning rate may suit the wider net worse, and hide a gain. Width is tried, depth and other kinds of net are not. Bits
compare families, not widths: no other width is coded. For width read the error at half size, in the tables here and of
`excess-capacity`.

Remedies and their safety
-------------------------
`widen` (checked): a net 4 times as wide, against as much longer training of the one there is; it costs time and memory
with every prediction. Where a simpler family needs fewer bits, that family (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_code_length, facts
>>> from uncork.testing.pools import a_pool
>>> sizes = {"": 1000, "width-x4": 10_000}
>>> tried = a_pool(2000, 2000, error=0.2, arms={"width-x4": -0.05}, confirmed=("width-x4",), parameters=sizes)
>>> coded = a_code_length(2000, linear=1.0)
>>> found = measure(pool=tried, code_length=coded, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 50 < found.headroom.high, found.summary[-46:]
(True, 'Parameters: 1,000, and 10,000 with that width.')

References
----------
Hestness et al., Deep learning scaling is predictable, empirically, arXiv 1712.00409, 2017.
Nakkiran et al., Deep double descent, ICLR 2020. Dawid, Statistical theory: the prequential approach, J. R. Statist.
Soc. A 147, 1984. Blier & Ollivier, The description length of deep learning models, NeurIPS 2018.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import arm_table, confirmed, plain, screens, unanswered
from uncork.derived.description_length import bits, lengths, sentence, table
from uncork.probes._contract import probe
from uncork.schema.artifacts import CodeLength, CodeLengthData, Facts, FactsData
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData


@probe(
    tier="defect",
    column="quality",
    title="A net 4 times as wide does no better",
    failure_title="The net is too narrow for the task",
    requires={
        "pool": Pool(halves=4, quarters=4, eighths=8, full=SEEDS, questions=("capacity",)),
        "code_length": CodeLength(),
        "facts": Facts(),
    },
    remedies=("widen",),
    promises="widen",
)
def measure(
    *, pool: PoolData, code_length: CodeLengthData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if (reason := unanswered(pool, "capacity")) is not None:
        return NotApplicable(reason)
    answer = confirmed(pool, facts.metric, "capacity")
    sizes = [pool.parameters.get(arm) for arm in ("", "width-x4")]
    counted = "" if None in sizes else f" Parameters: {sizes[0]:,}, and {sizes[1]:,} with that width."
    coded, absent = lengths(pool, code_length)
    return Measurement(
        {**screens(pool, facts.metric, "capacity"), **plain(pool, facts.metric), **bits(coded, pool)},
        headroom=answer.headroom,
        details=(arm_table(pool, facts.metric, ("capacity",)), *table(coded, pool, absent)),
        summary=f"{answer.sentence}{sentence(coded, pool)}{counted}",
    )
