"""Calibration class by class: of those predicted, and of every class's own probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.calibration import BINS, calibration_error, equal_mass_bins

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


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
    hits = np.bincount(_cells(which)[np.arange(n), y], minlength=classes * BINS)
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
    rows = np.arange(n)
    cells, expected = _cells(which), _expected(probability, which)
    top = probability.argmax(axis=1)
    sure = probability[rows, top].astype(np.float64)
    others = probability.astype(np.float64)
    others[rows, top] = 0
    np.cumsum(others, axis=1, out=others)
    all_top = np.bincount(cells[rows, top], minlength=classes * BINS)
    found = np.empty(draws)
    for i in range(draws):
        # Most rows fall to their likeliest class: only the others have to be drawn at length.
        u = rng.random((n,))
        missed = np.flatnonzero(u >= sure)
        rest = others[missed]
        part = (u[missed] - sure[missed]) / (1 - sure[missed])
        label = (rest <= part[:, None] * rest[:, -1:]).sum(axis=1)
        moved = np.bincount(cells[missed, label], minlength=classes * BINS)
        moved -= np.bincount(cells[missed, top[missed]], minlength=classes * BINS)
        found[i] = np.abs(expected - all_top - moved).sum()
    return np.sort(found / (n * classes))


def worst(errors: Sequence[Estimate]) -> int | None:
    """The class whose error is surely the largest: by the lower end, then by the value; None where none is known.

    By the value alone it would be the class with the fewest rows.
    """
    known = [k for k, e in enumerate(errors) if e.low is not None and e.value is not None]
    return max(known, key=lambda k: (errors[k].low, errors[k].value), default=None)


def _cells(which: Int[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    cells: Int[np.ndarray, "n k"] = which + BINS * np.arange(which.shape[1])
    return cells


def _expected(probability: Float[np.ndarray, "n k"], which: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " cells"]:
    return np.concatenate(
        [np.bincount(b, weights=p, minlength=BINS) for b, p in zip(which.T, probability.T, strict=True)]
    )
