"""Calibration class by class: of those predicted, and of every class's own probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.calibration import BINS, calibration_error, equal_mass_bins

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_VALUES = 2**22  # probabilities widened to 64 bits at a time


def top_label_bins(confidence: Float[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Equal-mass bins inside each predicted class, numbered through."""
    which = np.empty(len(confidence), np.int64)
    first = 0
    for k in np.unique(predicted):
        rows = np.flatnonzero(predicted == k)
        which[rows] = first + equal_mass_bins(confidence[rows])
        first = int(which[rows].max()) + 1
    return which


def top_label_errors(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    classes: int,
    *,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """`calibration_error` among the rows predicted as each class; all intervals hold together (Bonferroni).

    So the worst one may be picked and quoted. Fewer than 20 rows: undetermined. Unit: one row.
    Source: Gupta & Ramdas, Top-label calibration and multiclass-to-binary reductions, ICLR 2022.
    """
    each = 1 - (1 - level) / classes
    found = []
    for k in range(classes):
        rows = predicted == k
        sure = confidence[rows]
        which = equal_mass_bins(sure) if len(sure) else np.zeros(0, np.int64)
        found.append(calibration_error(sure, correct[rows], which, level=each))
    return tuple(found)


def classwise_errors(
    probability: Float[np.ndarray, "n k"],
    y: Int[np.ndarray, " n"],
    which: Int[np.ndarray, "n k"],
    *,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """`calibration_error` of each class's probability against whether it is the label, over all rows.

    `which`: of `classwise_bins`. All intervals hold together (Bonferroni). Unit: one row.
    Source: Kull et al., Beyond temperature scaling, NeurIPS 2019.
    """
    classes = probability.shape[1]
    each = 1 - (1 - level) / classes
    return tuple(
        calibration_error(probability[:, k].astype(np.float64), y == k, which[:, k], level=each) for k in range(classes)
    )


def classwise_bins(probability: Float[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """Equal-mass bins of each class's probability."""
    return np.stack([equal_mass_bins(p).astype(np.int8) for p in probability.T], axis=1)


def classwise_ece(
    probability: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], which: Int[np.ndarray, "n k"]
) -> float:
    """Plain ECE of each class's probability, mean over classes. Biased up: see `classwise_null`.

    Source: Kull et al., NeurIPS 2019, §2.
    """
    n, classes = probability.shape
    hits = np.bincount(which[np.arange(n), y] + BINS * y, minlength=classes * BINS)
    return float(np.abs(_expected(probability, which) - hits).sum() / (n * classes))


def classwise_null(
    probability: Float[np.ndarray, "n k"],
    which: Int[np.ndarray, "n k"],
    rng: np.random.Generator,
    *,
    draws: int = 200,
) -> Float[np.ndarray, " draws"]:
    """Sorted plain classwise ECEs that a perfectly calibrated model with these probabilities would show.

    Labels are drawn from the probabilities, which are kept with their bins. Unit: one row, independent.
    """
    n, classes = probability.shape
    counts = np.zeros((draws, classes * BINS), np.int64)
    size = max(1, _VALUES // classes)
    for start in range(0, n, size):
        block = slice(start, start + size)
        _draw(probability[block], which[block], rng, counts)
    return np.sort(np.abs(_expected(probability, which) - counts).sum(axis=1) / (n * classes))


def _draw(
    probability: Float[np.ndarray, "n k"],
    which: Int[np.ndarray, "n k"],
    rng: np.random.Generator,
    counts: Int[np.ndarray, "draws cells"],
) -> None:
    """Adds to `counts` how many of these rows' labels fall into each bin of their class, draw by draw."""
    classes = probability.shape[1]
    rows = np.arange(len(probability))
    cells = which + BINS * np.arange(classes)
    top = probability.argmax(axis=1)
    sure = probability[rows, top].astype(np.float64)
    others = probability.astype(np.float64)
    others[rows, top] = 0
    np.cumsum(others, axis=1, out=others)
    of_top = cells[rows, top]
    all_top = np.bincount(of_top, minlength=classes * BINS)
    for count in counts:
        # Most rows fall to their likeliest class: only the others have to be drawn at length.
        u = rng.random(len(rows))
        missed = np.flatnonzero(u >= sure)
        part = (u[missed] - sure[missed]) / (1 - sure[missed])
        label = _below(others, missed, part * others[missed, -1])
        count += all_top + np.bincount(cells[missed, label], minlength=classes * BINS)
        count -= np.bincount(of_top[missed], minlength=classes * BINS)


def _below(sums: Float[np.ndarray, "n k"], rows: Int[np.ndarray, " m"], limit: Float[np.ndarray, " m"]) -> np.ndarray:
    """(m,) how many of the rising values of each of these rows are at most its limit, by halving."""
    flat, start = sums.ravel(), rows * sums.shape[1]
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), sums.shape[1])
    for _ in range(int(sums.shape[1]).bit_length()):
        middle = (low + high) >> 1
        # Where the search has ended, low = high may stand behind the row's last value: it is not moved.
        under = (low < high) & (flat[start + np.minimum(middle, sums.shape[1] - 1)] <= limit)
        low, high = np.where(under, middle + 1, low), np.where(under, high, middle)
    return low


def worst(errors: Sequence[Estimate]) -> int | None:
    """The class whose error is surely the largest: by the lower end, then by the value; None where none is known.

    By the value alone it would be the class with the fewest rows.
    """
    known = [k for k, e in enumerate(errors) if e.low is not None and e.value is not None]
    return max(known, key=lambda k: (errors[k].low, errors[k].value), default=None)


def _expected(probability: Float[np.ndarray, "n k"], which: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " cells"]:
    return np.concatenate(
        [np.bincount(b, weights=p, minlength=BINS) for b, p in zip(which.T, probability.T, strict=True)]
    )
