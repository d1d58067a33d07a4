"""Confidence is not correctness.

What it measures
----------------
Whether, among predictions made with confidence c, a share c is right. Confidence is the largest probability.

Why it limits the model
-----------------------
Whoever acts on the confidence (thresholds, hand-overs, expected costs) acts on a wrong figure.

Estimator
---------
`calibration_error`, which the verdict is about: root mean square gap between confidence and accuracy over 15
equal-mass bins, debiased by the bins' sampling variance; interval by inverting a noncentral χ², its upper end with an
allowance (Agresti-Coull) for errors too rare to have been seen. Unit: one row; of rows in groups one random row of each
group is taken, which are independent again. Bias: towards zero by what varies inside a bin. It is never below the ECE.
`ece`: the plain estimate on the same rows, biased upwards, beside `ece_if_calibrated`, what a perfectly calibrated
model would show on them (simulated). `accuracy`: Clopper-Pearson over rows, Korn-Graubard over groups.
Headroom, exposed predictions: 1,000 × mean(confidence − correct): errors made beyond those announced; t interval over
rows or groups.
`temperature_gain`: fall of the log-loss by a temperature fitted on a random half and scored on the other, both ways;
under this name ("{remedy}_gain") it is read as what this probe promises of the remedy `temperature`.

When it misleads
----------------
A model may be calibrated on average and not in a group. Confidence in classes other than the first is not looked at.
Few errors: the bins hold little evidence and the verdict stays undetermined. With groups of unequal size
`calibration_error` is about a random row of a random group; `accuracy` and the headroom are about all rows.

Remedies and their safety
-------------------------
`temperature` (safe: no decision changes). `isotonic` (checked), from about 2,000 rows of validation, mends
what one number for all can't; nothing is promised of it beforehand.

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
NeurIPS 2019. Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.confidence import confidence, correct
from uncork.derived.order import one_per_group, ordered, random_half
from uncork.derived.temperature import best_temperature, cross_entropy
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.stats.binomial import wilson
from uncork.stats.calibration import (
    calibrated_null,
    calibration_error,
    equal_mass_bins,
    expected_calibration_error,
)
from uncork.stats.means import mean
from uncork.stats.score import score

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@probe(
    tier="defect",
    column="trust",
    title="Confidence matches correctness",
    failure_title="Confidence is not correctness",
    requires={"validation": Pass("validation"), "facts": Facts()},
    remedies=("temperature", "isotonic"),
)
def measure(*, validation: PassData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("the model states no probabilities: calibration of a regression is not measured yet")
    if len(validation) < 100:
        return NotApplicable(f"{len(validation)} rows: fewer than 100 can't fill two bins and halves to fit on")
    passed = ordered(validation)
    independent = one_per_group(passed, rng)
    sure, right = confidence(independent), correct(independent)
    which = equal_mass_bins(sure)
    null = calibrated_null(sure, which, rng)
    ece = expected_calibration_error(sure, right, which)
    n = len(independent)
    beyond = int((null >= ece).sum())
    error = calibration_error(sure, right, which)
    if n < len(passed):
        error = replace(error, method=f"{error.method}, one of each group")
    stated = confidence(passed)
    announced = mean(stated, clusters=passed.clusters, unit="mean confidence", bounds=(0, 1))
    accuracy = score(Metric("accuracy"), passed).scaled(1 / 1000, "share right")
    off = stated - correct(passed)
    unannounced = mean(off, clusters=passed.clusters, unit="predictions per 1,000", bounds=(-1, 1))
    exposed = unannounced.scaled(1000, "predictions per 1,000")
    estimates = {
        "calibration_error": error,
        "ece": Estimate(ece, None, None, "ECE", n, "plain, biased upwards: compare with ece_if_calibrated"),
        "ece_if_calibrated": _if_calibrated(null, n),
        "p_calibrated": wilson(beyond, len(null), unit="share of calibrated models with as large an ECE"),
        "confidence": announced,
        "accuracy": accuracy,
        "temperature_gain": _temperature_gain(passed, rng),
    }
    right_in_percent = f"{100 * (accuracy.value or 0):.1f} % of the time{interval(accuracy.scaled(100, '%'))}"
    return Measurement(
        estimates,
        headroom=exposed,
        against=Limit("calibration_error", at_most=facts.require["ece"]),
        details=(_reliability(sure, right, which),),
        summary=f"It says {100 * stated.mean():.1f} % on average and is right {right_in_percent}.",
    )


def _if_calibrated(null: Float[np.ndarray, " draws"], n: int) -> Estimate:
    low, high = np.quantile(null, (0.025, 0.975)).tolist() if null[-1] > null[0] else (None, None)
    return Estimate(float(np.median(null)), low, high, "ECE", n, "simulated calibrated model")


def _temperature_gain(passed: PassData, rng: np.random.Generator) -> Estimate:
    half = random_half(passed, rng)
    if not half.any():
        return Estimate(None, None, None, "nats", 1, "t over groups of rows (one group: undetermined)")
    gained = np.empty(len(passed))
    for fit, judged in ((half, ~half), (~half, half)):
        t = best_temperature(passed.logits[fit], passed.y[fit])
        logits, y = passed.logits[judged], passed.y[judged]
        gained[judged] = cross_entropy(logits, y, 1.0) - cross_entropy(logits, y, t)
    return mean(gained, clusters=passed.clusters, unit="nats")


def _reliability(sure: Float[np.ndarray, " n"], right: np.ndarray, which: Int[np.ndarray, " n"]) -> Detail:
    bins = [np.flatnonzero(which == b) for b in range(which.max() + 1)]
    accuracy = [wilson(int(right[rows].sum()), len(rows)) for rows in bins]
    data = {
        "x": [float(sure[rows].mean()) for rows in bins],
        "y": [a.value for a in accuracy],
        "low": [a.low for a in accuracy],
        "high": [a.high for a in accuracy],
        "x_label": "confidence",
        "y_label": "share right",
        "diagonal": True,
    }
    return Detail(
        "curve", "Reliability", data, note="Wilson interval per bin; a calibrated model follows the diagonal."
    )
