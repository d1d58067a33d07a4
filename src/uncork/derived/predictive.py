"""A regression's value read as a normal distribution of constant width, and whether it holds.

The model states no distribution. What is examined is what its users make of it: value ± z · s, with s the root mean
square error on one random half of the rows; the other half judges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from uncork.derived.order import random_half
from uncork.derived.reliability import if_calibrated
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Detail, Estimate
from uncork.stats.binomial import wilson
from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.stats.predictive import coverages, inside, pit_deviation, pit_null
from uncork.stats.simultaneous import shares_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

LEVELS = (0.5, 0.8, 0.9, 0.95)
_TENTHS = 10
_BARS = 20


def predictive_calibration(
    passed: PassData, asked: float, rng: np.random.Generator
) -> tuple[dict[str, Estimate], tuple[Detail, ...], float] | None:
    """(estimates, details, s) of independent rows, with `asked` the coverage that is promised; None where s is 0.

    `calibration_error`: root mean square gap between `asked` and the share inside, over tenths of the predicted value.
    """
    half = random_half(passed, rng)
    fit, judged = passed.take(half), passed.take(~half)
    s = math.sqrt(float(np.mean((fit.y - fit.predicted) ** 2)))
    if s == 0:
        return None
    pit = special.ndtr((judged.y - judged.predicted) / s)
    held = inside(pit, asked)
    tenth = equal_mass_bins(judged.predicted, _TENTHS)
    tenths = shares_by_class(held, tenth, int(tenth.max()) + 1, unit=f"share inside ({asked:g} stated)")
    null = pit_null(len(fit), len(judged), rng)
    deviation = pit_deviation(pit)
    beyond = int((null >= (deviation.value or 0.0)).sum())
    shares = coverages(pit, sorted({*LEVELS, asked}))
    found = {
        "calibration_error": calibration_error(np.full(len(pit), asked), held, tenth),
        "pit_deviation": deviation,
        "pit_deviation_if_calibrated": if_calibrated(null, len(pit), "share of rows"),
        "p_calibrated": wilson(beyond, len(null), unit="share of calibrated models with as large a deviation"),
        **{f"coverage_{100 * p:g}": share for p, share in shares.items()},
        "worst_tenth": min(tenths, key=lambda e: (e.high or 0.0, e.value or 0.0)),
    }
    return found, (_by_tenth(judged.predicted, tenth, tenths), _histogram(pit)), s


def _by_tenth(predicted: Float[np.ndarray, " n"], tenth: Int[np.ndarray, " n"], shares: Sequence[Estimate]) -> Detail:
    data = {
        "x": [float(predicted[tenth == b].mean()) for b in range(len(shares))],
        "y": [e.value for e in shares],
        "low": [e.low for e in shares],
        "high": [e.high for e in shares],
        "x_label": "predicted value",
        "y_label": "share inside",
        "diagonal": False,
    }
    return Detail(
        "curve", "Share inside by predicted value", data, note="Clopper-Pearson; all intervals hold together."
    )


def _histogram(pit: Float[np.ndarray, " n"]) -> Detail:
    counts, edges = np.histogram(pit, _BARS, (0, 1))
    data = {"edges": edges.tolist(), "counts": counts.tolist(), "x_label": "stated probability of a lower target"}
    note = "Flat where the widths are right; high at the ends: too narrow, or tails; high in the middle: too wide."
    return Detail("histogram", "Probability integral transform", data, note=note)
