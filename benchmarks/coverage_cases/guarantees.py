"""Trust: calibration errors, guaranteed precision, prediction sets."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from scipy import stats

from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.stats.conformal import conformal_quantile, least_ambiguous_sets, quantile_interval
from uncork.stats.predictive import pit_deviation
from uncork.stats.selective import answered_share, learn_then_test
from uncork.stats.smooth_calibration import smooth_calibration_error


def constant_gap(low: float, high: float, gap: float, rng: np.random.Generator, n: int) -> Draw:
    """Confidence uniform, right less often by `gap` at every confidence: the truth is |gap| in any bins."""
    confidence = rng.uniform(low, high, n)
    correct = rng.random(n) < confidence - gap
    return held(calibration_error(confidence, correct, equal_mass_bins(confidence)), abs(gap))


def smooth_gap(gap: float, rng: np.random.Generator, n: int) -> Draw:
    """A residual that is the same at every confidence: smoothed it is the same, and so the smooth ECE is it."""
    confidence = rng.uniform(0.5, 1, n)
    correct = rng.random(n) < confidence - gap
    return held(smooth_calibration_error(confidence, correct, rng), gap)


def bent(power: float, rng: np.random.Generator, n: int) -> Draw:
    """Stated distribution functions U^power: the gap u^(1 / power) − u is largest where its slope is 0."""
    a = 1 / power
    at = a ** (1 / (1 - a))
    return held(pit_deviation(rng.random(n) ** power), at**a - at)


def nine_tenths(rng: np.random.Generator, n: int) -> Draw:
    """Of scores uniform on (0, 1) the quantile at .9 is .9."""
    return held(quantile_interval(rng.random(n), 0.9, unit="score"), 0.9)


def sloping(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidence uniform on (.5, 1); right with .98 at 1 and .68 at .5."""
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) < 0.98 - 0.6 * (1 - confidence)


def kept(precision: float, rng: np.random.Generator, n: int) -> Draw:
    """Precision above t is .98 − .3 (1 − t)."""
    confidence, correct = sloping(rng, n)
    t = learn_then_test(confidence, correct, precision=precision).threshold
    return t is None or 0.98 - 0.3 * (1 - max(t, 0.5)) >= precision, np.nan


def kept_at_the_edge(precision: float, rng: np.random.Generator, n: int) -> Draw:
    """Every threshold just misses what is asked, so that each certificate breaks the guarantee."""
    found = learn_then_test(rng.random(n), rng.random(n) < precision - 1e-9, precision=precision)
    return found.threshold is None, np.nan


def answered(rng: np.random.Generator, n: int) -> Draw:
    certificate = learn_then_test(*sloping(rng, n), precision=0.9)
    estimate = answered_share(certificate)
    return None if certificate.threshold is None else held(estimate, min(1.0, 2 * (1 - certificate.threshold)))


def set_holds_a_fresh_row(rng: np.random.Generator, n: int) -> Draw:
    """Five classes, overconfident probabilities."""
    y = rng.integers(5, size=n + 1)
    logits = 4 * (np.eye(5)[y] + rng.normal(size=(n + 1, 5)))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    return bool(least_ambiguous_sets(p[:n], y[:n], p[n:], 0.9)[0, y[n]]), np.nan


def beta_law(rng: np.random.Generator, n: int) -> Draw:
    """The coverage of a calibrated set, of uniform scores the quantile itself, stands above its law's 5 % quantile."""
    rank = math.ceil((n + 1) * 0.9)
    return conformal_quantile(rng.random(n), 0.9) >= stats.beta.ppf(0.05, rank, n + 1 - rank), np.nan


CASES = (
    *(
        Case("calibration.calibration_error", condition, partial(constant_gap, low, high, gap), promise="about")
        for condition, low, high, gap in (
            ("calibrated", 0.5, 1, 0),
            ("over by .03", 0.5, 1, 0.03),
            ("over by .1", 0.5, 1, 0.1),
            ("sure, .3 % wrong instead of .03 %", 0.9996, 0.9998, 0.0027),
        )
    ),
    Case("selective.learn_then_test", "precision .9 kept, error rising", partial(kept, 0.9)),
    Case("selective.learn_then_test", "precision .95 kept, error rising", partial(kept, 0.95)),
    Case("selective.learn_then_test", "precision .9 kept, just missed everywhere", partial(kept_at_the_edge, 0.9)),
    Case("selective.answered_share (DKW)", "precision .9", answered, undetermined={100: 0.9, 1_000: 0.35}),
    Case("smooth_calibration.smooth_calibration_error", "over by .03", partial(smooth_gap, 0.03), draws=1_000),
    Case("smooth_calibration.smooth_calibration_error", "over by .1", partial(smooth_gap, 0.1), draws=1_000),
    Case("predictive.pit_deviation", "too wide by a fifth", partial(bent, 1.2)),
    Case("conformal.quantile_interval", "at .9", nine_tenths),
    Case("conformal.least_ambiguous_sets", "hold a fresh row's class", set_holds_a_fresh_row, level=0.9),
    Case("conformal.conformal_quantile", "above the 5 % quantile of its Beta law", beta_law),
)
