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
`precision`: share right when all is answered; Clopper-Pearson over rows; judged against `require["precision"]`.
`answered`: share of rows above the lowest confidence threshold that Learn-then-Test certifies at that precision with
probability `require["confidence"]`; exact binomial tests, fallback procedure; the band holds at all thresholds (DKW).
`aurc`: mean error over all coverages. Conformal sets at `require["coverage"]`: calibrated on one random half of the
rows, scored on the other. Headroom, exposed predictions: errors per 1,000 beyond those the asked precision allows.
Unit of resampling: one row, assumed independent.

When it misleads
----------------
Guarantees are for the population that the rows were drawn from, not for one row and not after a shift. A threshold
certified on these rows must not be chosen again on others. Rows in groups carry less evidence than their number.

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

import numpy as np

from uncork.derived.confidence import confidence, correct, probabilities
from uncork.derived.order import ordered, random_half
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.binomial import clopper_pearson
from uncork.stats.conformal import least_ambiguous_sets
from uncork.stats.means import mean
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
    sure, right = confidence(passed), correct(passed)
    asked, level = facts.require["precision"], facts.require["confidence"]
    certificate = learn_then_test(sure, right, precision=asked, level=level)
    coverage, risk, aurc = risk_coverage(sure, right)
    precision = clopper_pearson(int(right.sum()), len(right), unit="share right")
    wrong = clopper_pearson(int((~right).sum()), len(right)).scaled(1000, "predictions per 1,000")
    exposed = wrong.shifted(-1000 * (1 - asked))
    estimates = {
        "precision": precision,
        "answered": answered_share(certificate),
        "aurc": Estimate(aurc, None, None, "mean error over coverages", len(right), "plain"),
        **_sets(passed, facts, rng),
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
        details.append(_certificate_table(certificate))
    return Measurement(
        estimates,
        headroom=exposed,
        against=Limit("precision", at_least=asked),
        details=tuple(details),
        summary=_say(certificate, level),
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


def _certificate_table(certificate: Certificate) -> Detail:
    values = {
        "answer where confidence ≥": f"{certificate.threshold:.7g}",
        "rows answered": f"{certificate.answered} of {certificate.n}",
        "errors among them": certificate.errors,
        "guaranteed precision": certificate.precision,
        "with probability": certificate.confidence,
    }
    return Detail("table", "Certificate", {"columns": ["", "value"], "rows": [[k, v] for k, v in values.items()]})


def _say(certificate: Certificate, level: float) -> str:
    asked = f"{100 * certificate.precision:g} %"
    if certificate.threshold is None:
        needed = math.ceil(math.log(1 - level) / math.log(certificate.precision))
        if certificate.n < needed:
            return (
                f"{asked} precision can't be guaranteed on {certificate.n} rows: {needed} without an error are needed."
            )
        return f"No threshold guarantees {asked} precision on these rows: the surest answers are wrong too often."
    share = 100 * certificate.answered / certificate.n
    return f"Answering only the surest {share:.0f} % guarantees {asked} precision ({100 * level:g} % sure)."
