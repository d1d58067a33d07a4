"""Another family of model does better with the same data.

What it measures
----------------
What a linear model, nearest neighbours or gradient boosting, each fitted on train with a small equal budget, gains
over the model on the same validation rows.

Why it limits the model
-----------------------
Where the family doesn't fit the data (a net on a small table, a cubic on a line), no tuning makes up for it.

Estimator
---------
The rivals are screened on a fifth of train that they were not fitted on; the best one alone is fitted on all of train
and scored on validation, so that picking it costs no honesty. Headroom: metric of the model minus metric of that
rival, paired (Bonett-Price for errors, t on differences of influences otherwise). Unit: one row, or group of rows.
Rivals see at most 20,000 rows of train, are scored on at most 20,000 rows of validation, and get inputs of more
than 256 columns by their first 64 principal components.

When it misleads
----------------
Rivals are untuned: a clear verdict means that none wins out of the box. The model may owe its place to data that the
rivals don't get (pretraining). Pictures are hard on families that see no neighbourhood of pixels.

Remedies and their safety
-------------------------
`swap-family` (checked) trains the named family instead; `stack` (checked) mixes it with the model.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, a_trial, facts
>>> mine, rival = a_pass(2000, error=0.2, seed=1), a_pass(2000, error=0.1, seed=2)
>>> found = measure(validation=mine, trial=a_trial(rival), facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 5
True

References
----------
Grinsztajn, Oyallon & Varoquaux, Why do tree-based models still outperform deep learning on tabular data?, NeurIPS
2022. Bonett & Price, Adjusted Wald intervals for paired designs, Statistics in Medicine 31, 2012.
"""

from __future__ import annotations

import math

import numpy as np

from uncork.derived.order import ordered
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData, Trial, TrialData
from uncork.schema.finding import Detail, Measurement, NotApplicable
from uncork.stats.score import gain, score


@probe(
    tier="defect",
    column="quality",
    title="No other family of model does better",
    failure_title="Another family of model does better",
    requires={"validation": Pass("validation"), "trial": Trial(), "facts": Facts()},
    remedies=("swap-family", "stack"),
    promises="swap-family",
)
def measure(
    *, validation: PassData, trial: TrialData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    metric = facts.metric
    passed, rivals = (ordered(p) for p in (validation, trial.passed))
    passed = passed.take(np.isin(passed.rows, rivals.rows))
    headroom = gain(metric, passed, rivals)
    rival, mine = score(metric, rivals), score(metric, passed)
    table = [
        [family, screened if math.isfinite(screened) else None, round(seconds, 2)]
        for family, screened, seconds in zip(trial.families, trial.screened, trial.seconds, strict=True)
    ]
    detail = Detail(
        "table",
        f"Rivals, screened on {trial.screen_rows} rows of train ({metric.unit})",
        {"columns": ["family", metric.name, "seconds to fit"], "rows": table},
        note=f"The best one, {trial.winner}, was fitted on {trial.fitted_rows} rows and scored on validation.",
    )
    return Measurement(
        {"model": mine, "rival": rival},
        headroom=headroom,
        details=(detail,),
        summary=f"The best rival is {trial.winner}.",
    )
