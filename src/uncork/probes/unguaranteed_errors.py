"""The model is wrong more often than its user can accept, and nothing says when.

What it measures
----------------
Precision of what is answered, against the precision asked for; the share of rows that may be answered so that the asked
precision is guaranteed; sets of classes, or intervals of values, that hold the truth as often as asked, and where not.

Why it limits the model
-----------------------
An average says nothing of this case. A model that hands over what it is unsure of can promise more than it can score.

Estimator
---------
`precision`: share right of what is answered; Clopper-Pearson over rows, Korn-Graubard over groups; judged against
`require["precision"]`. Headroom, exposed predictions: errors per 1,000 answers beyond those it allows.
`answered`: share of rows above the lowest confidence threshold that Learn-then-Test certifies at that precision with
probability `require["confidence"]`; exact binomial tests, fallback procedure; the band holds at all thresholds (DKW).
`aurc`: mean error over all coverages. `guard_gain` and the table "Of 1,000 rows": a threshold certified on one random
half of the rows, counted on the other, with the subject's strangers if it has any.
Conformal, at `require["coverage"]`, calibrated on the one half and scored on the other: `set_coverage`, `set_size`; the
class that one limit for all holds least (`worst_class_coverage`; all classes' intervals hold together), and the same
with limits of their own (`…_own_limits`); of groups with 30 rows the worst (`worst_group_coverage`).
Regression: `interval_coverage`, `interval_width` of prediction ± one width, the conformal quantile of the absolute
residuals; `worst_coverage`: of the quarters of the predicted values the one it holds least, by the width of all rows,
judged against what is asked less half of what may be missed: as asked on average can't be shown to be as asked in each.
A width for each quarter is what scaled residuals come to without a second model. No headroom: no error is exposed
where none was named as too large. Unit: one row. Of rows in groups, certificate, sets and intervals take one random row
of each group, which are independent again.

When it misleads
----------------
Guarantees are for the population that the rows were drawn from, not for one row and not after a shift. A threshold
certified on these rows must not be chosen again on others. Rows in groups carry less evidence than their number; with
groups of unequal size certificate and sets are about a random row of a random group, `precision` about all rows.

Remedies and their safety
-------------------------
`guard` (safe: it only hands rows over), when asked for.

Example
-------
>>> import numpy as np
>>> from uncork.schema.stranger_answers import StrangerAnswersData
>>> from uncork.testing.artifacts import a_pass, facts
>>> none = StrangerAnswersData(np.zeros(0), np.zeros(0, bool))
>>> rows, rng = a_pass(4000, error=0.08), np.random.default_rng(0)
>>> round(measure(validation=rows, strangers=none, facts=facts(), rng=rng).estimates["precision"].value, 2)
0.92

References
----------
Angelopoulos et al., Learn then Test, arXiv 2110.01052. Geifman & El-Yaniv, Selective classification, NeurIPS 2017.
Sadinle, Lei & Wasserman, Least ambiguous set-valued classifiers, JASA 114, 2019. Lei et al., Distribution-free
predictive inference for regression, JASA 113, 2018. Vovk, Gammerman & Shafer, Algorithmic learning, 2005, §4.5.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.confidence import confidence, correct
from uncork.derived.guarantees import (
    certificate_table,
    groups,
    intervals,
    of_1000,
    say_certificate,
    say_intervals,
    sets,
)
from uncork.derived.order import one_per_group, ordered, random_half
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.stranger_answers import StrangerAnswers, StrangerAnswersData
from uncork.stats.score import score
from uncork.stats.selective import answered_share, learn_then_test, risk_coverage

LEAST_ROWS = 40  # of which one half calibrates and the other is scored


@probe(
    tier="defect",
    column="trust",
    title="The model is right as often as asked",
    failure_title="The model is wrong more often than asked, and nothing says when",
    requires={"validation": Pass("validation"), "strangers": StrangerAnswers(), "facts": Facts()},
    remedies=("guard",),
)
def measure(
    *, validation: PassData, strangers: StrangerAnswersData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    passed = ordered(validation)
    if facts.task != "classification":
        return _of_values(passed, facts, rng)
    given = passed.take(passed.answered)
    if not len(given):
        return NotApplicable("the model hands every row over: it answers nothing that could be right or wrong")
    independent = one_per_group(passed, rng)
    grouped = len(independent) < len(passed)
    asked, level = facts.require["precision"], facts.require["confidence"]
    sure = np.where(independent.answered, confidence(independent), -1.0)  # what is handed over reaches no threshold
    certificate = learn_then_test(sure, correct(independent), precision=asked, level=level)
    guaranteed, details = {"answered": answered_share(certificate)}, []
    half = random_half(independent, rng)
    if min(half.sum(), (~half).sum()) >= LEAST_ROWS // 2:
        found = sets(independent, half, facts), of_1000(independent, sure, half, strangers, asked, level)
        for estimates, shown in found:
            guaranteed |= estimates
            details += shown
    if grouped:
        guaranteed = {k: replace(e, method=f"{e.method}, one of each group") for k, e in guaranteed.items()}
        guaranteed |= groups(passed, facts.require["coverage"], rng)
    coverage, risk, aurc = risk_coverage(confidence(given), correct(given))
    precision = score(Metric("accuracy"), given).scaled(1 / 1000, "share right")
    curve = {"x": coverage.tolist(), "y": risk.tolist(), "low": None, "high": None, "diagonal": False}
    curve |= {"x_label": "share answered, surest first", "y_label": "share wrong among the answered"}
    table = [certificate_table(certificate, grouped)] if certificate.threshold is not None else []
    return Measurement(
        {
            "precision": precision,
            "aurc": Estimate(aurc, None, None, "mean error over coverages", len(given), "plain"),
            **guaranteed,
        },
        headroom=precision.scaled(-1000, "predictions per 1,000").shifted(1000 * asked),
        against=Limit("precision", at_least=asked),
        details=(Detail("curve", "Risk and coverage", curve), *table, *details),
        summary=say_certificate(certificate, level, grouped),
    )


def _of_values(passed: PassData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    independent = one_per_group(passed, rng)
    half = random_half(independent, rng)
    if min(half.sum(), (~half).sum()) < LEAST_ROWS // 2:
        return NotApplicable(f"{len(independent)} independent rows: intervals take {LEAST_ROWS} to calibrate and score")
    asked = facts.require["coverage"]
    estimates, details = intervals(independent, half, asked)
    if len(independent) < len(passed):
        estimates = {k: replace(e, method=f"{e.method}, one of each group") for k, e in estimates.items()}
        estimates |= groups(passed, asked, rng)
    return Measurement(
        estimates,
        against=Limit("worst_coverage", at_least=asked - (1 - asked) / 2),
        details=tuple(details),
        summary=say_intervals(estimates, asked),
    )
