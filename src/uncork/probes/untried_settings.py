"""Other settings of the recipe, tried at random, train a better model.

What it measures
----------------
What the best of so many random settings (learning rate, weight decay, batch size) gains over the recipe as it is; what
the best of more or fewer trials would reach; and which of the settings matter.

Why it limits the model
-----------------------
Which settings are right depends on data and net. How much a search is worth, and when it has gone far enough, is
guesswork without a curve of what so many trials reach.

Estimator
---------
`gain`: the best trial and the recipe as it is, both trained on all of train from the same fresh seeds, on validation,
which took no part in the choice; mean over rows and seeds, crossed variance components. It is the headroom.
`gain_of_more`: what the best of half as many trials again is expected to be better by than the best so far, on the rows
of train held out: from nothing to the chance that one of them is better at all times all that is left to gain; value,
what the last third of the trials gained, mean over their orders, which the next ones gain at most.
`share_beyond_best`: of further trials, that would beat the best one (one-sided).
Curve: the score that the best of m trials reaches with a chance of one half, with a band that holds for all m at once
and assumes no distribution. Importance: PED-ANOVA, beside the 95th percentile of what it is after scores are shuffled;
those that lie above all but a 20th of them, corrected for how many hyperparameters there are, matter.

When it misleads
----------------
Scores on the held-out fifth hold its luck and the training's: the best looks better there than it is. All of it holds
for the space that was searched. What matters little inside it may matter outside; a setting that matters only beside
another's value may not show. Few trials can't tell what the best percent of settings reach.

Remedies and their safety
-------------------------
`tune` (checked): a search that learns from its trials, judged on rows of train held out for that.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.tuning_trials import tuning_trials
>>> found = measure(trials=tuning_trials(gain=0.05), facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 50 < found.headroom.high, found.details[1].data["rows"][0][0]
(True, 'learning rate')

References
----------
Lourie, Cho & He, Show your work with confidence: confidence bands for tuning curves, arXiv 2311.09480, 2023. Watanabe,
Bansal & Hutter, PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces, IJCAI 2023.
Bergstra & Bengio, Random search for hyper-parameter optimization, JMLR 13, 2012.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.gains import gain_of
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.tuning_trials import TuningTrials, TuningTrialsData
from uncork.stats.tuning import gain_of_more, share_beyond_best, tuning_curve

LEVEL = 0.05


@probe(
    tier="investment",
    column="quality",
    title="No setting that was drawn trains a better model",
    failure_title="Other settings of the recipe, tried at random, train a better model",
    requires={"trials": TuningTrials(), "facts": Facts()},
    remedies=("tune",),
    preview=True,
    buys=(0.0, 20.0),
)
def measure(*, trials: TuningTrialsData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric, k = facts.metric, len(trials.scores)
    before, after = trials.passes(0), trials.passes(1)
    gain = gain_of(metric, before, after) if before else None
    more = gain_of_more(
        trials.scores, k // 2, unit=metric.unit, higher_is_better=bool(metric.higher_is_better), bounds=metric.bounds
    )
    return Measurement(
        {"gain_of_more": more, "share_beyond_best": share_beyond_best(k)},
        headroom=gain,
        details=(_curve(trials, metric), *_importance(trials), _table(trials, metric)),
        summary=_summary(trials, metric, gain, more),
    )


def _curve(data: TuningTrialsData, metric: Metric) -> Detail:
    k = len(data.scores)
    counts = sorted({1, 2, 3, 4, 6, 8, 12, 16, k, 2 * k})
    better = bool(metric.higher_is_better)
    known = tuning_curve(data.scores, counts[-1], unit=metric.unit, higher_is_better=better, bounds=metric.bounds)
    band = [known[m - 1] for m in counts]
    return Detail(
        "curve",
        "What the best of so many random settings scores",
        {
            "x": [float(m) for m in counts],
            "y": [e.value for e in band],
            "low": [e.low for e in band],
            "high": [e.high for e in band],
            "x_label": "trials",
            "y_label": f"{metric.unit}, {data.held_rows:,} rows of train held out (as it is: {data.own:.4g})",
            "diagonal": False,
        },
        note="Median of the best; the band holds for all numbers of trials at once and assumes no distribution.",
    )


def _importance(data: TuningTrialsData) -> tuple[Detail, ...]:
    if not len(data.importance_null):
        return ()
    rows = []
    for at in np.argsort(-data.importance, kind="stable"):
        null = data.importance_null[:, at]
        rows.append(
            [data.names[at], float(data.importance[at]), float(np.quantile(null, 0.95)), _matters(data, int(at))]
        )
    columns = ["setting", "importance", "95th percentile by chance", "matters"]
    return (
        Detail("table", "Which settings decide about the best quarter of trials", {"columns": columns, "rows": rows}),
    )


def _matters(data: TuningTrialsData, at: int) -> str:
    """By a permutation test, Bonferroni over hyperparameters."""
    null = data.importance_null[:, at]
    chance = (1 + int((null >= data.importance[at]).sum())) / (1 + len(null))
    return "yes" if chance * len(data.names) <= LEVEL else "can't tell"


def _table(data: TuningTrialsData, metric: Metric) -> Detail:
    order = np.argsort(metric.sign * data.scores, kind="stable")[:5]
    scores = [float(x) if np.isfinite(x) else None for x in data.scores[order]]
    rows = [[*map(float, data.settings[i]), score] for i, score in zip(order, scores, strict=True)]
    return Detail("table", "The best five settings", {"columns": [*data.names, metric.unit], "rows": rows})


def _summary(data: TuningTrialsData, metric: Metric, gain: Estimate | None, more: Estimate) -> str:
    k, form = len(data.scores), ".1f" if metric.unit.endswith("per 1,000") else ".3g"
    said = []
    if gain is not None and gain.value is not None:
        verb, shown = ("gains", gain) if gain.value >= 0 else ("loses", gain.scaled(-1, gain.unit))
        said.append(
            f"The best of {k} random settings {verb} {shown.value:{form}}{interval(shown, form)} {metric.unit}."
        )
    if more.high is not None:
        value = "" if more.value is None else f" about {more.value:{form}} or less, and"
        said.append(f"{k // 2} further trials are expected to gain{value} surely no more than {more.high:{form}}.")
    which = [name for at, name in enumerate(data.names) if len(data.importance_null) and _matters(data, at) == "yes"]
    if which:
        said.append(f"What matters: {', '.join(which)}.")
    elif data.unimportant:
        said.append(f"Which settings matter is not known: {data.unimportant}.")
    return " ".join(said)
