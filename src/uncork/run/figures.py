"""The figures that every treatment shows before and after, whatever it was meant to mend."""

from __future__ import annotations

from uncork.derived.confidence import confidence, correct
from uncork.derived.order import ordered
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.report import SideEffect
from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.stats.score import score

LOG_LOSS = Metric("log-loss")


def figures(metric: Metric, passed: PassData) -> dict[str, Estimate]:
    """The subject's metric; for a classifier also its log-loss and calibration error."""
    found = {metric.name: score(metric, passed)}
    if passed.task == "classification":
        found[LOG_LOSS.name] = score(LOG_LOSS, passed)
        rows = ordered(passed)
        sure = confidence(rows)
        found["calibration error"] = calibration_error(sure, correct(rows), equal_mass_bins(sure))
    return found


def side_effects(metric: Metric, before: PassData, after: PassData) -> tuple[SideEffect, ...]:
    """Each figure on the same rows before and after."""
    first, second = figures(metric, before), figures(metric, after)
    return tuple(SideEffect(name, first[name], second[name]) for name in first)
