"""Some of train's labels are wrong, and the recipe learns them.

What it measures
----------------
Which labels of train the models that have not seen the row contradict, how many labels are wrong, and what training
again without the flagged rows gains.

Why it limits the model
-----------------------
A wrong label can only be learnt by heart, and what surrounds it pays. In validation it makes a right answer an error.

Estimator
---------
Retrained halves judge the rows that they were not trained on: mean log-probability, normalised again. Flags: confident
learning. Noise rate ρ by noise model, since labels alone do not tell which holds: wrong labels are random, or the
class that looks likeliest but for the true one. Spikes show what such labels look like: what the models say of other
labels on the same row. ρ is the best bin of observed against spiked margins; the flags' recall and precision come from
the same spikes. Of two classes both models are one. `noise_by_relabelling`: where random rows were labelled anew, the
share of those that differ, prediction-powered by what the models say of all others; right whatever wrong labels are
like, if the new labels are. `errors_of_labels`: of 1,000 rows labelled like train, how many
count as errors for their label's sake, from the least ρ · recall to the largest ρ. Unit: one row, or group.
Out-of-fold predictions that were brought judge in the halves' place, be it one a row; then nothing was trained without
the flagged rows, and the headroom is unknown.
Headroom: the gain of the recipe without the flagged rows, full size, same seeds, on validation. Where no row is flagged
though wrong labels would be, the remedy does nothing: exactly 0.

When it misleads
----------------
Where the models err a lot, most flags are their own mistakes and the rate is too high: its lower end too stands on
there being margins that only wrong labels have. Ambiguous is not wrong. People's mistakes lie between the two models.
Wrong labels in validation hide part of the gain. Rows that were picked for relabelling, rather than drawn, make the
share by relabelling too high. Rare classes are flagged too easily. Brought folds that part copies or
groups of rows judge what their models have seen: too few flags.

Remedies and their safety
-------------------------
`relabel` (checked): gives the flagged rows the class that the rest of train says, or the labels that are brought.
`drop-examples` (checked): trains again without the flagged rows, against as many random ones.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts, relabelled
>>> from uncork.testing.pools import a_pool
>>> pool = a_pool(900, error=0.05, flipped=0.2)
>>> about = facts(classes=("a", "b", "c"))
>>> found = measure(pool=pool, relabelled=relabelled(), facts=about, rng=np.random.default_rng(0))
>>> rate = found.estimates["noise_if_random"]
>>> rate.low < 0.2 < rate.high
True

References
----------
Northcutt, Jiang & Chuang, Confident learning, JAIR 70, 2021. Garg et al., Mixture proportion, arXiv 2111.00980, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.derived.arms import confirmed
from uncork.derived.label_errors import (
    Noise,
    by_noise_model,
    errors_of_labels,
    flagged,
    noise,
    noise_by_relabelling,
    ranking,
    rates_told,
    relabelling_told,
    suggested,
    to_relabel,
    witnesses,
)
from uncork.derived.out_of_sample import fold_score, half_score, probabilities
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Relabelled, RelabelledData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import FOLD, SEEDS, Pool, PoolData
from uncork.stats.binomial import share as share_of

FEWEST, SHOWN, HALF = 4, 20, 0.5
POOR = 300  # errors per 1,000 above which flags may be the models' own mistakes


@probe(
    tier="defect",
    column="quality",
    title="The training labels agree with the evidence",
    failure_title="Wrong training labels hold the model back",
    requires={
        "pool": Pool(halves=8, full=SEEDS, questions=("labels",)),
        "relabelled": Relabelled(),
        "facts": Facts(),
    },
    remedies=("relabel", "drop-examples"),
    promises="drop-examples",
)
def measure(
    *, pool: PoolData, relabelled: RelabelledData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("labels are contradicted by class probabilities: a regression has none")
    if "pool" in pool.left_out:
        return NotApplicable(pool.left_out["pool"])
    folds = pool.members(FOLD)
    if not len(folds) and (halves := len(pool.members(2))) < FEWEST:
        why = pool.left_out.get("halves", "give a larger budget")
        return NotApplicable(f"{halves} models of half of train, it takes {FEWEST}: {why}")
    flags, models = flagged(pool), noise(pool, rng)
    error = (fold_score if len(folds) else half_score)(pool, Metric("error"))
    estimates = {"flagged": share_of(flags, pool.clusters), "out_of_sample_error": error}
    for model in models:
        for name in ("rate", "recall", "precision"):
            estimates[f"{'noise' if name == 'rate' else name}_if_{model.kind.replace('-', '')}"] = getattr(model, name)
    estimates["errors_of_labels"] = errors_of_labels(models)
    share = noise_by_relabelling(pool, relabelled)
    if share is not None:
        estimates["noise_by_relabelling"] = share
    headroom, gain = _headroom(pool, facts.metric, flags, models)
    note = _doubt(error, models)
    count = f"{int(flags.sum())} of {len(flags)} labels of train contradicted by {witnesses(pool)}."
    sentences = [
        count,
        rates_told(models),
        relabelling_told(share),
        note,
        _ceiling(estimates["errors_of_labels"], pool),
        gain,
    ]
    details = (by_noise_model(models), _suspicious(pool, facts, flags, note), *to_relabel(relabelled))
    return Measurement(estimates, headroom, details=details, summary=" ".join(s for s in sentences if s))


def _headroom(
    pool: PoolData, metric: Metric, flags: np.ndarray, models: Sequence[Noise]
) -> tuple[Estimate | None, str]:
    """(headroom, in words). An empty list says something only where wrong labels would have been on it."""
    if flags.any():
        answer = confirmed(pool, metric, "labels")
        return answer.headroom, answer.sentence
    if any((m.recall.low or 0.0) < HALF for m in models):
        return None, "That proves nothing here: it is not shown that wrong labels would be found."
    method = "counted: no row is flagged, so that leaving out the flagged rows changes nothing"
    return Estimate(0.0, 0.0, 0.0, metric.unit, len(flags), method), "There is nothing to leave out."


def _doubt(error: Estimate, models: Sequence[Noise]) -> str:
    """Said where the models err a lot and it is not shown that the labels are why."""
    if (error.value or 0.0) <= POOR or all((m.precision.low or 0.0) >= HALF for m in models):
        return ""
    return f"Most flags may be the recipe's own mistakes: on new rows it makes {error.value:.0f} errors per 1,000."


def _ceiling(errors: Estimate, pool: PoolData) -> str:
    if errors.low is None or errors.high is None:
        return ""
    there = [np.mean(p.predicted != p.y) for m in pool.members(1) if len((p := pool.validation_pass(int(m))).y)]
    if there and 1000 * np.mean(there) < errors.low:
        return f"Validation is labelled better: the recipe makes {1000 * np.mean(there):.0f} errors per 1,000 there."
    ends = f"{errors.low:.0f} to {errors.high:.0f}"
    return (
        f"If validation is labelled like train, its labels alone make {ends} errors per 1,000 that no model can mend."
    )


def _suspicious(pool: PoolData, facts: FactsData, flags: np.ndarray, note: str) -> Detail:
    p, other, names = probabilities(pool), suggested(pool), facts.classes
    rows = [int(i) for i in ranking(pool)[:SHOWN]]
    pairs = [(int(pool.y[i]), int(other[i])) for i in rows]
    values = [
        [names[y], names[c], round(float(p[i, y]), 4), round(float(p[i, c]), 4), "yes" if flags[i] else "no"]
        for i, (y, c) in zip(rows, pairs, strict=True)
    ]
    columns = ["label", "suggested", "probability of the label", "of the suggested", "flagged"]
    data = {"split": "train", "rows": rows, "columns": columns, "values": values}
    return Detail("examples", "The most suspicious labels", data, note=note)
