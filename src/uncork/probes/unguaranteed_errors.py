"""The model is wrong more often than its user can accept, and nothing says when.

What it measures
----------------
Precision when everything is answered, against the precision asked for; the share of rows that may be answered so that
the asked precision is guaranteed; the sets of classes that hold the truth as often as asked.

Why it limits the model
-----------------------
An average says nothing of this case. A model that hands over what it is unsure of can promise more than it can score.

Estimator
---------
`precision`: share right when all is answered; Clopper-Pearson over rows, Korn-Graubard over groups; judged against
`require["precision"]`.
`answered`: share of rows above the lowest confidence threshold that Learn-then-Test certifies at that precision with
probability `require["confidence"]`; exact binomial tests, fallback procedure; the band holds at all thresholds (DKW).
`aurc`: mean error over all coverages. Conformal sets at `require["coverage"]`: calibrated on one random half of the
rows, scored on the other. Headroom, exposed predictions: errors per 1,000 beyond those the asked precision allows.
Unit: one row. Of rows in groups, certificate and sets take one random row of each group, which are independent again.

When it misleads
----------------
Guarantees are for the population that the rows were drawn from, not for one row and not after a shift. A threshold
certified on these rows must not be chosen again on others. Rows in groups carry less evidence than their number; with
groups of unequal size certificate and sets are about a random row of a random group, `precision` about all rows.

Remedies and their safety
-------------------------
The threshold stands in the details: answer above it, hand over below (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> found = measure(validation=a_pass(4000, error=0.08), facts=facts(), rng=np.random.default_rng(0))
>>> round(found.estimates["precision"].value, 2)
0.92

References
----------
Angelopoulos et al., Learn then Test, arXiv 2110.01052. Geifman & El-Yaniv, Selective classification, NeurIPS 2017.
Sadinle, Lei & Wasserman, Least ambiguous set-valued classifiers, JASA 114, 2019.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from uncork.derived.confidence import confidence, correct, probabilities
from uncork.derived.order import one_per_group, ordered, random_half
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.stats.binomial import clopper_pearson
from uncork.stats.conformal import least_ambiguous_sets
from uncork.stats.means import mean
from uncork.stats.score import score
from uncork.stats.selective import Certificate, answered_share, learn_then_test, risk_coverage


@probe(
    tier="defect",
    column="trust",
    title="The model is right as often as asked",
    failure_title="The model is wrong more often than asked, and nothing says when",
    requires={"validation": Pass("validation"), "facts": Facts()},
)
def measure(*, validation: PassData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("the model states no probabilities: intervals for regression are not measured yet")
    passed = ordered(validation)
    independent = one_per_group(passed, rng)
    asked, level = facts.require["precision"], facts.require["confidence"]
    certificate = learn_then_test(confidence(independent), correct(independent), precision=asked, level=level)
    coverage, risk, aurc = risk_coverage(confidence(passed), correct(passed))
    precision = score(Metric("accuracy"), passed).scaled(1 / 1000, "share right")
    exposed = precision.scaled(-1000, "predictions per 1,000").shifted(1000 * asked)
    guaranteed = {"answered": answered_share(certificate), **_sets(independent, facts, rng)}
    grouped = len(independent) < len(passed)
    if grouped:
        guaranteed = {k: replace(e, method=f"{e.method}, one of each group") for k, e in guaranteed.items()}
    estimates = {
        "precision": precision,
        "aurc": Estimate(aurc, None, None, "mean error over coverages", len(passed), "plain"),
        **guaranteed,
    }
    curve = {
        "x": coverage.tolist(),
        "y": risk.tolist(),
        "low": None,
        "high": None,
        "x_label": "share answered, surest first",
        "y_label": "share wrong among the answered",
        "diagonal": False,
    }
    details = [Detail("curve", "Risk and coverage", curve)]
    if certificate.threshold is not None:
        details.append(_certificate_table(certificate, grouped))
    return Measurement(
        estimates,
        headroom=exposed,
        against=Limit("precision", at_least=asked),
        details=tuple(details),
        summary=_say(certificate, level, grouped),
    )


def _sets(passed: PassData, facts: FactsData, rng: np.random.Generator) -> dict[str, Estimate]:
    asked = facts.require["coverage"]
    half = random_half(passed, rng)
    if half.sum() < 20 or (~half).sum() < 20:
        return {}
    probability = probabilities(passed)
    sets = least_ambiguous_sets(probability[half], passed.y[half], probability[~half], asked)
    held = sets[np.arange(len(sets)), passed.y[~half]]
    return {
        "set_coverage": clopper_pearson(int(held.sum()), len(held), unit=f"share of sets that hold ({asked:g} asked)"),
        "set_size": mean(sets.sum(axis=1), unit="classes per set", bounds=(0, sets.shape[1])),
    }


def _certificate_table(certificate: Certificate, grouped: bool) -> Detail:
    values = {
        "answer where confidence ≥": f"{certificate.threshold:.7g}",
        "rows answered": f"{certificate.answered} of {certificate.n}",
        "errors among them": certificate.errors,
        "guaranteed precision": certificate.precision,
        "with probability": certificate.confidence,
    }
    table = {"columns": ["", "value"], "rows": [[k, v] for k, v in values.items()]}
    return Detail("table", "Certificate", table, note="On one random row of each group." if grouped else "")


def _say(certificate: Certificate, level: float, grouped: bool) -> str:
    asked = f"{100 * certificate.precision:g} %"
    if certificate.threshold is None:
        needed = math.ceil(math.log(1 - level) / math.log(certificate.precision))
        if certificate.n < needed:
            units = f"{certificate.n} {'groups of rows' if grouped else 'rows'}"
            return f"{asked} precision can't be guaranteed on {units}: {needed} without an error are needed."
        return (
            f"No threshold could be certified for {asked} precision on these rows: "
            f"more {'groups' if grouped else 'rows'}, or fewer errors among the surest, would be needed."
        )
    share = 100 * certificate.answered / certificate.n
    return f"Answering only the surest {share:.0f} % guarantees {asked} precision ({100 * level:g} % sure)."
