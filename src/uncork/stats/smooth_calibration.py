"""Calibration error by a kernel, which has no bins to choose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dct, idct

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

CELLS = 2048  # of [0, 1]; a bandwidth is never below two of them
_POINTS = (128, 512, CELLS)
_STEPS = 12


def smooth_calibration_error(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    draws: int = 200,
    level: float = 0.95,
) -> Estimate:
    """Smooth ECE: the σ at which ∫ |mean residual, smoothed by a Gaussian of s.d. σ reflected at 0 and 1| = σ.

    Residual: confidence − correct. It is a consistent measure: between the distance to the nearest calibrated model
    and the square root of it, up to constants, and it rises and falls smoothly with the confidences (Błasiok &
    Nakkiran, ICLR 2024, arXiv 2309.12236). Confidences are rounded to 2,048 cells; what is below .001 reads .001.
    Biased upwards by noise: compare with `smooth_calibrated_null`. Interval: value ± the `level` quantile of the
    noise's own integral at that σ, drawn with normal multipliers, which by the triangle inequality covers at least as
    often (and at zero too, as nothing is differentiated); a row's variance is no less than its confidence states, and
    the upper end no less than the gap of the means that the errors seen so far leave open (Clopper–Pearson). Unit: one
    row.
    """
    n = len(confidence)
    method = "triangle inequality and multipliers over rows"
    if n < 20:
        return Estimate(None, None, None, "smooth ECE", n, f"{method} (too few rows)", level=level)
    residual = confidence - correct
    cell = _cell(confidence)
    at = np.bincount(cell, weights=residual, minlength=CELLS)[None] / n
    value = _fixed_point(dct(at, norm="ortho"))
    spread = np.sqrt(np.bincount(cell, np.maximum(residual**2, confidence * (1 - confidence)), CELLS)) / n
    drawn, there = np.zeros((draws, CELLS)), np.flatnonzero(spread)
    drawn[:, there] = rng.standard_normal((draws, len(there))) * spread[there]
    points = min((p for p in _POINTS if p * value[0] >= 3), default=CELLS)
    noise = _integral(dct(drawn, norm="ortho")[:, :points], np.full(draws, value[0]))
    margin = float(np.quantile(noise, level))
    right = clopper_pearson(int(correct.sum()), n, level=level)
    open_ = max(abs(float(confidence.mean()) - end) for end in (right.low, right.high) if end is not None)
    low, high = max(0.0, float(value[0]) - margin), min(1.0, max(float(value[0]) + margin, open_))
    return Estimate(float(value[0]), low, high, "smooth ECE", n, method, level=level)


def smooth_calibrated_null(
    confidence: Float[np.ndarray, " n"], rng: np.random.Generator, *, draws: int = 200
) -> Float[np.ndarray, " draws"]:
    """Sorted smooth ECEs that a perfectly calibrated model with these confidences would show on so many rows.

    Unit: one row, independent. Labels are drawn Bernoulli(confidence), the confidences are kept.
    """
    order = np.argsort(confidence, kind="stable")
    stated, cell = confidence[order], _cell(confidence[order])
    at = np.empty((draws, CELLS))
    for i in range(draws):
        at[i] = np.bincount(cell[rng.random(len(stated)) >= stated], minlength=CELLS)
    at = (at - np.bincount(cell, weights=1 - stated, minlength=CELLS)) / len(stated)
    return np.sort(_fixed_point(dct(at, norm="ortho")))


def _cell(confidence: Float[np.ndarray, " n"]) -> np.ndarray:
    return np.minimum((confidence * CELLS).astype(np.int64), CELLS - 1)


def _integral(waves: Float[np.ndarray, "d m"], sigma: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """∫ |…| of each row on m points, of which `waves` are the cosine coefficients over `CELLS`.

    A Gaussian that is reflected at both ends multiplies the k-th by exp(−(πkσ)² / 2).
    """
    points = waves.shape[1]
    damping = np.exp(-0.5 * (np.pi * np.arange(points) * sigma[:, None]) ** 2)
    total = np.abs(idct(waves * damping, norm="ortho")).sum(axis=1) * math.sqrt(CELLS / points)
    return np.asarray(total)


def _fixed_point(waves: Float[np.ndarray, "d cells"]) -> Float[np.ndarray, " d"]:
    """The σ at which the integral, which falls as σ grows, equals σ; by bisection, no lower than two cells.

    On as few points as leave three to a σ: what is wide needs few.
    """
    found = np.zeros(len(waves))
    for points in _POINTS:
        again = np.flatnonzero(found < 12 / points)  # all at first, then those too narrow for a quarter as many
        part, low = waves[again, :points], np.full(len(again), 2 / CELLS)
        high = np.maximum(_integral(part, low), low)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            above = _integral(part, middle) > middle
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        found[again] = (low + high) / 2
    return found
