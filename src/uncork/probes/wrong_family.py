"""Another family of model does better with the same data.

What it measures
----------------
What a linear model, nearest neighbours or gradient boosting (scikit-learn's; xgboost and lightgbm where the extra
`tabular` is installed) gains over the model on the same validation rows. Each family gets the same few settings to be
tuned by, and so does the model's recipe.

Why it limits the model
-----------------------
Where the family doesn't fit the data (a net on a small table, a cubic on a line), no tuning makes up for it.

Estimator
---------
Each family is fitted by up to four settings and screened on a fifth of train that it was not fitted on; the best one
alone is fitted on all of train and scored on validation, so that picking it costs no honesty. Headroom: metric of the
model as given minus metric of that rival, paired (Bonett-Price for errors, t on differences of influences otherwise).
Unit: one row, or group of rows. Beside it, where the recipe was tuned: what it gains by as many learning rates and
weight decays, screened on the same rows and trained anew on all of train, and what the rival gains over that. Rivals
see at most 20,000 rows of train, are scored on at most 20,000 rows of validation, and get inputs of more than 256
columns by their first 64 principal components. On fewer than 1,000 rows of train, or more columns, each family has one
setting, and histogram boosting stands for the other two.

When it misleads
----------------
A few settings are little: a clear verdict means that no family wins by them, and a recipe can be tuned further than
its rate and decay. The recipe's training luck is part of its tuned figures. The model may owe its place to data that
the rivals don't get (pretraining). Pictures are hard on families that see no neighbourhood of pixels.

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
2022. Sivaprasad et al., Optimizer benchmarking needs to account for hyperparameter tuning, ICML 2020. Bonett & Price,
Adjusted Wald intervals for paired designs, Statistics in Medicine 31, 2012.
"""

from __future__ import annotations

import math

import numpy as np

from uncork.derived.order import ordered
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData, Trial, TrialData
from uncork.schema.finding import Detail, Measurement, NotApplicable
from uncork.schema.metric import Metric
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
    estimates = {"model": score(metric, passed), "rival": score(metric, rivals)}
    said = f"The best rival is {trial.winner}."
    if trial.numbers and trial.model_numbers:
        said = f"The best rival is {trial.winner}, of {trial.numbers:,} numbers where the model has "
        said += f"{trial.model_numbers:,}."
    if trial.tuned is not None:
        tuned = ordered(trial.tuned.passed)
        over = gain(metric, tuned, rivals)
        estimates |= {"tuned_model": score(metric, tuned), "tuning_gain": gain(metric, passed, tuned)}
        estimates["rival_over_tuned_model"] = over
        if over.value is not None:
            verb, shown = ("loses", over.scaled(-1, over.unit)) if over.value < 0 else ("gains", over)
            said += f" Over the model tuned as often it {verb} {shown.value:.3g}{interval(shown, '.3g')} {shown.unit}."
    return Measurement(estimates, headroom=headroom, details=(_table(trial, metric),), summary=said)


def _table(trial: TrialData, metric: Metric) -> Detail:
    """Each family by its best setting, and the recipe."""
    of = (trial.families, trial.settings, trial.screened, trial.seconds)
    lines = list(zip(*of, strict=True))
    note = f"The best one, {trial.winner}, was fitted on {trial.fitted_rows} rows and scored on validation."
    if trial.tuned is not None:
        lines.append(("the recipe", trial.tuned.setting, trial.tuned.screened, trial.tuned.seconds))
    else:
        note += f" The model was not tuned: {trial.untuned}."
    if trial.left_out:
        note += f" Left out: {'; '.join(trial.left_out)}."
    shown = [
        [name, setting, value if math.isfinite(value) else None, round(seconds, 2), trial.trials]
        for name, setting, value, seconds in lines
    ]
    columns = ["family", "best setting", metric.name, "seconds to fit", "settings tried"]
    title = f"Rivals, screened on {trial.screen_rows} rows of train ({metric.unit})"
    return Detail("table", title, {"columns": columns, "rows": shown}, note=note)
