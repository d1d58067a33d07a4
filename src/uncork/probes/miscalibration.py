"""Confidence is not correctness.

What it measures
----------------
Whether, among predictions made with confidence c, a share c is right: over all classes, of each predicted class, and of
every class's own probability. Confidence is the largest probability. In regression, where a model states a value alone:
whether value ± z · s holds as often as a normal distribution says, s being the root mean square error.

Why it limits the model
-----------------------
Whoever acts on the confidence (thresholds, hand-overs, expected costs), or on ± s, acts on a wrong figure.

Estimator
---------
`calibration_error`, which the verdict is about: root mean square gap between confidence and accuracy over 15
equal-mass bins, debiased by the bins' sampling variance; interval by inverting a noncentral χ², its upper end with an
allowance (Agresti-Coull) for errors too rare to have been seen. Unit: one row; of rows in groups one random row of each
group is taken, which are independent again. Bias: towards zero by what varies inside a bin. It is never below the ECE.
`top_label_error`: the same over bins inside each predicted class; `worst_predicted_class`: of the class that is surely
worst, by intervals that hold for all classes together (Bonferroni). `worst_class`: likewise of each class's probability
against whether it is the label, over all rows. `smooth_ece`: by a kernel instead of bins, at the bandwidth that equals
it; its interval adds what the noise may amount to on either side, and is wide.
`ece`, `classwise_ece`: plain, biased upwards. Beside these and `smooth_ece` stands what a perfectly calibrated model
would show on the same rows, simulated (`…_if_calibrated`). `accuracy`: Clopper-Pearson, Korn-Graubard over groups.
Headroom, exposed predictions: 1,000 × mean(confidence − correct): errors made beyond those announced; t interval.
`temperature_gain`: fall of the log-loss by a temperature fitted on a random half and scored on the other, both ways;
`vector_scaling_gain`: the further fall by vector scaling, which is tried after it; up to half a million logits. These
"{remedy}_gain" are read as what this probe promises of the remedy.
Regression: s from one random half, all else on the other. `calibration_error`: gap between `require["coverage"]` and
the share inside, over tenths of the predicted value. `coverage_50` …: shares inside central intervals; `worst_tenth`:
the lowest of the tenths', all ten intervals together. `pit_deviation`: largest gap between stated and actual share
below any quantile. Headroom: rows outside per 1,000 beyond those announced.

When it misleads
----------------
A model may be calibrated on average and not in a group. Few errors: the bins hold little evidence and the verdict stays
undetermined. With groups of unequal size all but `accuracy` and the headroom are about a random row of a random group.
A regression is not blamed for what it never stated: the finding is about ± s for all rows alike, which fails where
errors have long tails or grow with the value; the value itself may be as good as can be.

Remedies and their safety
-------------------------
`temperature` (safe: no decision changes). `vector-scaling` (checked) gives each class its own factor. `isotonic`
(checked), from about 2,000 rows of validation, mends what these can't; nothing is promised of it beforehand. In
regression none: conformal intervals hold without a distribution (`unguaranteed-errors`).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> overconfident = a_pass(4000, error=0.1, confidence=0.99, seed=1)
>>> found = measure(validation=overconfident, facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["calibration_error"].low > 0.02
True

References
----------
Guo et al., On calibration of modern neural networks, ICML 2017. Kumar, Liang & Ma, Verified uncertainty calibration,
NeurIPS 2019. Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019. Gupta & Ramdas,
Top-label calibration, ICLR 2022. Błasiok & Nakkiran, Smooth ECE, ICLR 2024. Gneiting, Balabdaoui & Raftery,
Probabilistic forecasts, calibration and sharpness, J. R. Statist. Soc. B 69, 2007.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.confidence import confidence, correct
from uncork.derived.order import one_per_group, ordered
from uncork.derived.predictive import predictive_calibration
from uncork.derived.reliability import by_class, if_calibrated, of_groups, plain, reliability, smooth
from uncork.derived.temperature import temperature_gain
from uncork.derived.vector_scaling import vector_scaling_gain
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.stats.binomial import wilson
from uncork.stats.calibration import calibrated_null, calibration_error, equal_mass_bins, expected_calibration_error
from uncork.stats.means import mean
from uncork.stats.score import score

_MOST_LOGITS = 500_000  # to promise vector scaling from: beyond, its fits would take longer than the rest


@probe(
    tier="defect",
    column="trust",
    title="Confidence matches correctness",
    failure_title="Confidence is not correctness",
    requires={"validation": Pass("validation"), "facts": Facts()},
    remedies=("temperature", "vector-scaling", "isotonic"),
)
def measure(*, validation: PassData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    passed = ordered(validation)
    independent = one_per_group(passed, rng)
    if len(passed) < 100:
        return NotApplicable(f"{len(passed)} rows: fewer than 100 can't fill two bins and halves to fit on")
    if facts.task != "classification":
        return _regression(independent, len(passed), facts, rng)
    sure, right = confidence(independent), correct(independent)
    which = equal_mass_bins(sure)
    null = calibrated_null(sure, which, rng)
    ece, n = expected_calibration_error(sure, right, which), len(independent)
    names = facts.classes if len(facts.classes) == passed.logits.shape[1] else range(passed.logits.shape[1])
    of_classes, table = by_class(independent, [str(name) for name in names], rng)
    own = {
        "calibration_error": calibration_error(sure, right, which),
        "ece": plain(ece, "", n),
        "ece_if_calibrated": if_calibrated(null, n, "ECE"),
        "p_calibrated": wilson(
            int((null >= ece).sum()), len(null), unit="share of calibrated models with as large an ECE"
        ),
        **smooth(independent, rng),
        **of_classes,
    }
    stated = confidence(passed)
    accuracy = score(Metric("accuracy"), passed).scaled(1 / 1000, "share right")
    off = stated - correct(passed)
    exposed = mean(off, clusters=passed.clusters, unit="predictions per 1,000", bounds=(-1, 1))
    estimates = {
        **of_groups(own, n < len(passed)),
        "confidence": mean(stated, clusters=passed.clusters, unit="mean confidence", bounds=(0, 1)),
        "accuracy": accuracy,
        "temperature_gain": temperature_gain(passed, rng),
    }
    if passed.logits.size <= _MOST_LOGITS:
        estimates["vector_scaling_gain"] = vector_scaling_gain(passed, rng)
    right_in_percent = f"{100 * (accuracy.value or 0):.1f} % of the time{interval(accuracy.scaled(100, '%'))}"
    return Measurement(
        estimates,
        headroom=exposed.scaled(1000, "predictions per 1,000"),
        against=Limit("calibration_error", at_most=facts.require["ece"]),
        details=(reliability(sure, right, which), *table),
        summary=f"It says {100 * stated.mean():.1f} % on average and is right {right_in_percent}.",
    )


def _regression(
    independent: PassData, rows: int, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    asked = facts.require["coverage"]
    if len(independent) < 100:
        return NotApplicable(f"{len(independent)} groups of rows: fewer than 100 can't fit a width and judge it")
    found = predictive_calibration(independent, asked, rng)
    if found is None:
        return NotApplicable("no error in the half of the rows that a width is fitted on: there is none to state")
    estimates, details, s = found
    share = estimates[f"coverage_{100 * asked:g}"]
    return Measurement(
        of_groups(estimates, len(independent) < rows),
        headroom=share.scaled(-1000, "predictions per 1,000").shifted(1000 * asked),
        against=Limit("calibration_error", at_most=facts.require["ece"]),
        details=details,
        summary=f"Value ± {s:.3g} (r.m.s. error), taken for normal, states {100 * asked:g} % and holds "
        f"{100 * (share.value or 0):.1f} %{interval(share.scaled(100, '%'))} of the rows.",
    )
