"""What a classifier says against how often it is right, class by class and confidence by confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.confidence import confidence, correct, probabilities
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Detail, Estimate
from uncork.stats.binomial import wilson
from uncork.stats.calibration import calibration_error
from uncork.stats.classwise_calibration import (
    classwise_bins,
    classwise_ece,
    classwise_errors,
    classwise_null,
    top_label_bins,
    top_label_errors,
    worst,
)
from uncork.stats.smooth_calibration import smooth_calibrated_null, smooth_calibration_error

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_SHOWN = 20  # classes in the table


def by_class(
    passed: PassData, names: Sequence[str], rng: np.random.Generator
) -> tuple[dict[str, Estimate], tuple[Detail, ...]]:
    """(top-label and classwise estimates, a table of the classes that are surely worst) of independent rows."""
    classes = passed.logits.shape[1]
    sure, right, predicted = confidence(passed), correct(passed), passed.predicted
    p = probabilities(passed)
    which = classwise_bins(p)
    of_predicted = top_label_errors(sure, right, predicted, classes)
    of_class = classwise_errors(p, passed.y, which)
    found = {
        "top_label_error": calibration_error(sure, right, top_label_bins(sure, predicted)),
        "worst_predicted_class": _named(of_predicted, names, "predicted"),
        "classwise_ece": plain(classwise_ece(p, passed.y, which), "classwise", len(passed)),
        "classwise_ece_if_calibrated": if_calibrated(classwise_null(p, which, rng), len(passed), "classwise ECE"),
        "worst_class": _named(of_class, names, "of all rows"),
    }
    order = sorted((k for k in range(classes) if of_predicted[k].low is not None), key=lambda k: -_low(of_predicted[k]))
    rows = []
    for k in order[:_SHOWN]:
        here, e = predicted == k, of_predicted[k]
        says, share = float(sure[here].mean()), float(right[here].mean())
        rows.append(
            [names[k], int(here.sum()), *(round(x, 4) for x in (says, share, e.value or 0.0, _low(e), e.high or 0.0))]
        )
    table = {"columns": ["predicted class", "rows", "says", "right", "calibration error", "low", "high"], "rows": rows}
    note = f"The {len(rows)} of {classes} classes with the highest lower ends; all intervals hold together."
    return found, (Detail("table", "By predicted class", table, note=note),) if rows else ()


def smooth(passed: PassData, rng: np.random.Generator) -> dict[str, Estimate]:
    """Smooth ECE and what a calibrated model would show, of independent rows."""
    sure = confidence(passed)
    null = smooth_calibrated_null(sure, rng)
    return {
        "smooth_ece": smooth_calibration_error(sure, correct(passed), rng),
        "smooth_ece_if_calibrated": if_calibrated(null, len(passed), "smooth ECE"),
    }


def of_groups(estimates: Mapping[str, Estimate], picked: bool) -> dict[str, Estimate]:
    """The same, saying so where one row of each group was `picked`."""
    said = ", one of each group" if picked else ""
    return {name: replace(e, method=f"{e.method}{said}") for name, e in estimates.items()}


def plain(value: float, kind: str, n: int) -> Estimate:
    """An ECE as it is defined."""
    name = f"{kind} ECE".strip()
    beside = f"{kind}_ece_if_calibrated".strip("_")
    return Estimate(value, None, None, name, n, f"plain, biased upwards: compare with {beside}")


def if_calibrated(null: Float[np.ndarray, " draws"], n: int, unit: str) -> Estimate:
    """The middle and the central 95 % of a simulated null, sorted."""
    low, high = np.quantile(null, (0.025, 0.975)).tolist() if null[-1] > null[0] else (None, None)
    return Estimate(float(np.median(null)), low, high, unit, n, "simulated calibrated model")


def reliability(sure: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], which: Int[np.ndarray, " n"]) -> Detail:
    """Share right against confidence, bin by bin."""
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


def _named(errors: Sequence[Estimate], names: Sequence[str], where: str) -> Estimate:
    k = worst(errors)
    if k is None:
        return Estimate(None, None, None, "rms gap", 0, f"{len(errors)} classes together (too few rows)")
    one = errors[k]
    return replace(one, method=f"{one.method}, {names[k]} {where}, {len(errors)} classes together")


def _low(estimate: Estimate) -> float:
    return 0.0 if estimate.low is None else estimate.low
