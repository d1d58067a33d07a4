"""What can be promised of a model's answers: a certificate, what it would hand over, sets of classes and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.confidence import correct, probabilities
from uncork.derived.coverage import by_kind, percent, worst, worst_group
from uncork.derived.order import random_half
from uncork.derived.words import interval
from uncork.schema.artifacts import FactsData, PassData
from uncork.schema.certificate import Certificate
from uncork.schema.finding import Detail, Estimate
from uncork.schema.stranger_answers import StrangerAnswersData
from uncork.stats.binomial import clopper_pearson
from uncork.stats.conformal import conformal_quantile, least_ambiguous_sets, quantile_interval
from uncork.stats.means import mean
from uncork.stats.selective import fewest_rows, learn_then_test
from uncork.stats.simultaneous import shares_by_class

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

QUARTERS = 4

Found = tuple[dict[str, Estimate], list[Detail]]


def sets(passed: PassData, half: Bool[np.ndarray, " n"], facts: FactsData) -> Found:
    """Sets of classes calibrated on one half of the rows, scored on the other, over all and class by class."""
    asked, k = facts.require["coverage"], passed.logits.shape[1]
    unit = _held(asked)
    p, y, at = probabilities(passed), passed.y, np.arange(len(passed))
    size = {own: least_ambiguous_sets(p[half], y[half], p[~half], asked, by_class=own) for own in (False, True)}
    held = size[False][np.arange(len(size[False])), y[~half]]
    parts = by_kind(1 - p[at, y], half, y, k, asked, unit)
    estimates = {
        "set_coverage": clopper_pearson(int(held.sum()), len(held), unit=unit),
        "set_size": mean(size[False].sum(axis=1), unit="classes per set", bounds=(0, k)),
        "worst_class_coverage": worst(parts.one_limit),
        "worst_class_coverage_own_limits": worst(parts.own_limits),
        "set_size_own_limits": mean(size[True].sum(axis=1), unit="classes per set", bounds=(0, k)),
    }
    names = facts.classes if len(facts.classes) == k else [str(i) for i in range(k)]
    note = "All intervals of a column hold together. A class that few rows calibrate is in every set of its own limit."
    return estimates, [parts.table("Sets of classes, class by class", names, note)]


def intervals(passed: PassData, half: Bool[np.ndarray, " n"], asked: float) -> Found:
    """Prediction ± a conformal width, over all and by quarters of the predicted values."""
    scores, unit = np.abs(passed.y - passed.predicted), _held(asked)
    cuts = np.unique(np.quantile(passed.predicted, np.arange(1, QUARTERS) / QUARTERS))
    _, which = np.unique(np.searchsorted(cuts, passed.predicted, side="right"), return_inverse=True)
    kinds = int(which.max()) + 1
    held = scores[~half] <= conformal_quantile(scores[half], asked)
    parts = by_kind(scores, half, which, kinds, asked, unit)
    everywhere = shares_by_class(scores <= conformal_quantile(scores, asked), which, kinds, unit=unit)
    estimates = {
        "interval_coverage": clopper_pearson(int(held.sum()), len(held), unit=unit),
        "interval_width": quantile_interval(2 * scores, asked, unit="width, in the target's unit"),
        "worst_coverage": worst(everywhere),
        "worst_coverage_own_limits": worst(parts.own_limits),
    }
    names = [f"predicted {_range(passed.predicted[which == kind])}" for kind in range(kinds)]
    table = parts.table("Intervals, by what is predicted", names, "All intervals of a column hold together.")
    return estimates, [table]


def groups(passed: PassData, asked: float, rng: np.random.Generator) -> dict[str, Estimate]:
    """The group that sets or intervals hold least, calibrated on all rows of one half of the groups; {} without any."""
    y, at = passed.y, np.arange(len(passed))
    scores = 1 - probabilities(passed)[at, y] if passed.task == "classification" else np.abs(y - passed.predicted)
    found = worst_group(passed, scores, random_half(passed, rng), asked, _held(asked))
    return {} if found is None else {"worst_group_coverage": found}


def _held(asked: float) -> str:
    return f"share of truths held ({asked:g} asked)"


def _range(values: Float[np.ndarray, " m"]) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"


def of_1000(
    passed: PassData,
    sure: Float[np.ndarray, " n"],
    half: Bool[np.ndarray, " n"],
    strangers: StrangerAnswersData,
    asked: float,
    level: float,
) -> Found:
    """What becomes of rows that don't certify, as it is and where the other half's threshold hands over.

    Nothing where that half certifies none, or nobody asks about strangers and nothing is handed over.
    """
    right = correct(passed)
    threshold = learn_then_test(sure[half], right[half], precision=asked, level=level).threshold
    if threshold is None:
        return {}, []
    before, after = passed.answered[~half], sure[~half] >= threshold
    nonsense = strangers.answered, strangers.answered & (strangers.confidence >= threshold)
    rows = [
        [name, *_counted(answered, right[~half], strange)]
        for name, answered, strange in zip(("as it is", "with a guard"), (before, after), nonsense, strict=True)
    ]
    columns = ["", "right", "wrong", "handed over", *(["strangers answered, of 1,000"] if len(strangers) else [])]
    note = f"Answering where confidence ≥ {threshold:.7g}, certified on one half of the rows; these are the other half."
    spared = before & ~after & ~right[~half]
    gain = clopper_pearson(int(spared.sum()), len(spared)).scaled(1000, "wrong answers per 1,000")
    return {"guard_gain": gain}, [Detail("table", "Of 1,000 rows", {"columns": columns, "rows": rows}, note=note)]


def _counted(answered: Bool[np.ndarray, " m"], right: Bool[np.ndarray, " m"], strange: np.ndarray) -> list[str]:
    shares = [answered & right, answered & ~right, ~answered, *([strange] if len(strange) else [])]
    each = [clopper_pearson(int(s.sum()), len(s)).scaled(1000, "per 1,000") for s in shares]
    return [f"{one.value:.0f}{interval(one, '.0f')}" for one in each]


def certificate_table(certificate: Certificate, grouped: bool) -> Detail:
    values = {
        "answer where confidence ≥": f"{certificate.threshold:.7g}",
        "rows answered": f"{certificate.answered} of {certificate.n}",
        "errors among them": certificate.errors,
        "guaranteed precision": certificate.precision,
        "with probability": certificate.confidence,
    }
    table = {"columns": ["", "value"], "rows": [[k, v] for k, v in values.items()]}
    return Detail("table", "Certificate", table, note="On one random row of each group." if grouped else "")


def say_certificate(certificate: Certificate, level: float, grouped: bool) -> str:
    """What is guaranteed, or why nothing is, in a sentence."""
    asked = f"{100 * certificate.precision:g} %"
    if certificate.threshold is None:
        needed = fewest_rows(certificate.precision, level)
        if certificate.n < needed:
            units = f"{certificate.n} {'groups of rows' if grouped else 'rows'}"
            return f"{asked} precision can't be guaranteed on {units}: {needed} without an error are needed."
        return (
            f"No threshold could be certified for {asked} precision on these rows: "
            f"more {'groups' if grouped else 'rows'}, or fewer errors among the surest, would be needed."
        )
    share = 100 * certificate.answered / certificate.n
    which = "all" if certificate.answered == certificate.n else f"only the surest {share:.0f} %"
    return f"Answering {which} guarantees {asked} precision ({100 * level:g} % sure)."


def say_intervals(estimates: dict[str, Estimate], asked: float) -> str:
    """How wide, and how evenly they hold, in a sentence."""
    width, least = estimates["interval_width"].value, estimates["worst_coverage"]
    if width is None:
        return f"So few rows bound no error for {100 * asked:g} % of the truths."
    return (
        f"Prediction ± {width / 2:.3g} holds {100 * asked:g} % of the truths; {percent(least)} in the quarter of the "
        "predictions where it holds least."
    )
