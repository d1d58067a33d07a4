"""Where it is to be used next, the model loses what it could do.

What it measures
----------------
How much worse the model is on `shifted`, rows from a new place, camera, or year, than on validation. Without labels of
them: what the model's own confidence foretells, which nothing guarantees.

Why it limits the model
-----------------------
Models lean on what came along in the rows they saw: light, scanner, wording, a season. Where that changes they err
more, and say nothing of it.

Estimator
---------
`drop`: the metric on shifted minus the metric on validation, in its display unit, positive where shifted is worse.
Where nine of ten shifted rows have the id and the label of a row of validation, such as pictures that were stored anew,
over these pairs (`gain`: Bonett–Price, t, or a bootstrap); else of two samples (`difference`). Unit: rows, or groups.
With a budget of k labels only those of k random rows are read: `shifted` is then prediction-powered by the model's
doubt on all others for error and accuracy, `score` for other metrics.
`threshold` and `confidence`, of a classifier: errors per 1,000 on shifted guessed without labels, by average
thresholded confidence and by the difference of confidences (`derived.domain`). Their intervals cover sampling only:
both are wrong by any amount where the model is surer of its errors there than here, and no rows without labels can
tell. They decide nothing.
`two_sample_auc`: chance that a classifier takes a shifted row for shifted rather than a row of validation, of any
class; .5 where it can't tell. That inputs differ is not that the model minds.
Headroom: the drop, all that the shift costs, on shifted rows. What part of it a remedy can regain is not known: an
upper bound. Where shifted has labels, a third of it, by a hash of ids or groups, is kept to prove remedies on.

When it misleads
----------------
The headroom counts rows of shifted, other defects' rows of validation: as the principal finding it says where most is
lost, not that the others are small, nor that a remedy regains more of it. Harder rows and other shares of the classes
drop the metric too: the table of shares tells. Labels of another convention look like a shift. Rows picked for
labelling rather than drawn make the figure any value. Shifted rows that stand in train look easy.

Remedies and their safety
-------------------------
`adapt-batchnorm`, `reweight`, `fine-tune` (checked), each on request: what is won on shifted rows may be lost on the
old ones, which is shown.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.shifted import a_shifted, shifted_labels
>>> there = a_pass(800, error=0.19, seed=1)
>>> found = measure(validation=a_pass(2000, error=0.08), shifted=a_shifted(there, validation=2000),
...                 labels=shifted_labels(there), facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low < 110 < found.headroom.high
True

References
----------
Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, ICLR 2022. Guillory et al.,
Predicting with confidence on unseen distributions, ICCV 2021. Angelopoulos et al., Prediction-powered inference,
Science 382, 2023. Recht et al., Do ImageNet classifiers generalize to ImageNet?, ICML 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.domain import (
    apart,
    by_difference,
    by_few_labels,
    by_threshold,
    class_shares,
    dropped,
    labelled,
    sure_of,
)
from uncork.derived.two_sample import effect
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Measurement
from uncork.schema.shifted import Shifted, ShiftedData, ShiftedLabels, ShiftedLabelsData
from uncork.stats.score import score

SHOWN = 30  # classes
ALONE = "Their intervals cover sampling alone: without labels no figure can be guaranteed."


@probe(
    tier="defect",
    column="quality",
    title="The model does as well where it is to be used next",
    failure_title="Where it is to be used next, the model loses what it could do",
    requires={
        "validation": Pass("validation"),
        "shifted": Shifted(),
        "labels": ShiftedLabels(),
        "facts": Facts(),
    },
    remedies=("adapt-batchnorm", "reweight", "fine-tune"),
)
def measure(
    *,
    validation: PassData,
    shifted: ShiftedData,
    labels: ShiftedLabelsData,
    facts: FactsData,
    rng: np.random.Generator,
) -> Measurement:
    metric, found = facts.metric, labelled(shifted, labels)
    estimates: dict[str, Estimate] = {"validation": score(metric, validation)}
    sure = sure_of(validation, shifted) if facts.task == "classification" else None
    drop, said = None, []
    if len(found):
        few = labels.sampled
        there = by_few_labels(metric, shifted, found, sure) if few else score(metric, found)
        paired = dropped(metric, validation, found, shifted.pairs)
        drop = paired if paired is not None and not few else apart(metric, there, estimates["validation"])
        estimates |= {"shifted": there, "drop": drop}
        said.append(_dropped(facts, estimates, len(found), few=few, paired=drop is paired))
    if sure is not None:
        guesses = {"threshold": by_threshold(sure, rng), "confidence": by_difference(sure)}
        estimates |= guesses
        said.append(_guessed(guesses, known=bool(len(found))))
    if not shifted.told.reason:
        told = estimates["two_sample_auc"] = effect(shifted.told, facts.task)
        said.append(f"Inputs tell shifted from validation with an AUC of {_shown(told, '.2f')}.")
    if not len(found):
        said.append(_to_label(labels))
    details = (_shares(validation, shifted, found, facts),) if sure is not None else ()
    return Measurement(estimates, drop, details=details, summary=" ".join(said))


def _dropped(facts: FactsData, estimates: dict[str, Estimate], n: int, *, few: bool, paired: bool) -> str:
    metric = facts.metric
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    old, new, drop = (_shown(estimates[name], form) for name in ("validation", "shifted", "drop"))
    where = f"by {n} labels" if few else f"over pairs of {n} rows" if paired else f"on {n} rows"
    return (
        f"{metric.name} {old} on validation, {new} on shifted, {metric.unit}: worse by {drop} {where}. "
        "That is all that the shift costs: no remedy need regain it all."
    )


def _guessed(guesses: dict[str, Estimate], *, known: bool) -> str:
    threshold, confidence = (_shown(each, ".0f") for each in guesses.values())
    beside = "Without labels one would have guessed" if known else "Guessed without labels:"
    return f"{beside} {threshold} errors per 1,000 by thresholded confidence, {confidence} by its difference. {ALONE}"


def _to_label(labels: ShiftedLabelsData) -> str:
    if labels.asked:
        return f"Label the {len(labels.asked)} random rows of to_label.csv, and bring them with labels= (--labels)."
    return "To know, label 100 random rows of shifted: labels=100 (--labels 100) names them."


def _shares(validation: PassData, shifted: ShiftedData, found: PassData, facts: FactsData) -> Detail:
    """Of labels where there are any, else of decisions, which shift with the model's errors too."""
    known = bool(len(found))
    sides = (validation.y, found.y) if known else (validation.predicted, shifted.predicted)
    data = {"columns": ["class", "validation, %", "shifted, %"], "rows": class_shares(*sides, facts.classes)[:SHOWN]}
    what = "Shares of the classes" if known else "Shares of the decisions"
    return Detail("table", what, data, note="Intervals of all classes hold together; largest difference first.")


def _shown(e: Estimate, form: str) -> str:
    return "undetermined" if e.value is None else f"{e.value:{form}}{interval(e, form)}"
