"""Corrections as balls around rows: how far each may reach, which one decides a row, and what it then answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Share of rows, right before, that all corrections together may break.
BREAKS = 0.001

#: Of a row's length: what kernels of other batch sizes may move it by.
ROUNDING = 1e-4


def distances(points: Float[np.ndarray, "n d"], centres: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Euclidean, in 64 bits, each pair by itself: no row's distance depends on which others are asked for with it."""
    found: Float[np.ndarray, "n m"] = cdist(points.astype(np.float64), centres.astype(np.float64))
    return found


def least_reach(centres: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " m"]:
    """(m,) the radius in which a row is found again at any batch size."""
    length: Float[np.ndarray, " m"] = ROUNDING * np.linalg.norm(centres.astype(np.float64), axis=1)
    return length


def reach(
    centres: Float[np.ndarray, "m d"],
    labels: Int[np.ndarray, " m"],
    points: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    clusters: Int[np.ndarray, " n"],
    breaks: float = BREAKS,
) -> Float[np.ndarray, " m"]:
    """(m,) radii, as large as they may be so that a new row is broken with a chance of about `breaks`; NaN where a
    correction can't be told from a row that it would break.

    `points`, `y`, `clusters`: rows that are right, none of them corrected. A row is in the way of a correction to
    another class; the radius is one share, the same for all, of the distance to the first in the way. The share is
    chosen by leaving each row (its group) out: with it left out, at which share would it be broken first? Of n units'
    shares it is the k-th smallest, k = max(1, ⌊breaks · (n + 1)⌋), so that of new rows about k / (n + 1) are broken.
    Where nothing is in the way nothing is known: the radius is the least. Source: the jackknife of Barber, Candès,
    Ramdas & Tibshirani, Annals of Statistics 49, 2021.
    """
    least = least_reach(centres)
    if not len(points) or not len(centres):
        return least
    away = np.where(y[:, None] == labels, np.inf, distances(points, centres))
    nearest = away.argmin(axis=0)
    first = away.min(axis=0)
    second = np.where(clusters[:, None] == clusters[nearest], np.inf, away).min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(np.isfinite(first), first / second, 1.0)
    units, which = np.unique(clusters, return_inverse=True)
    broken_at = np.ones(len(units))
    np.minimum.at(broken_at, which[nearest], np.nan_to_num(shares, nan=0.0))
    share = np.sort(broken_at)[max(1, int(breaks * (len(units) + 1))) - 1]
    radii: Float[np.ndarray, " m"] = np.where(
        np.isfinite(first), np.maximum(np.nextafter(share, 0) * np.where(np.isfinite(first), first, 0), least), least
    )
    radii[first <= least] = np.nan
    return radii


def clashing(centres: Float[np.ndarray, "m d"], labels: Int[np.ndarray, " m"]) -> Int[np.ndarray, "p 2"]:
    """Pairs of corrections to different classes in what can't be told from one place, the earlier first."""
    near = distances(centres, centres) <= 2 * least_reach(centres)[:, None]
    pairs: Int[np.ndarray, "p 2"] = np.argwhere(np.triu((near | near.T) & (labels[:, None] != labels), 1))
    return pairs


def tellable(centres: Float[np.ndarray, "m d"], labels: Int[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Which of the corrections clash with no earlier one."""
    kept = np.ones(len(labels), bool)
    for earlier, later in clashing(centres, labels):
        kept[later] &= not kept[earlier]
    return kept


def deciding(distance: Float[np.ndarray, "n m"], radii: Float[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """(n,) the nearest correction whose ball holds the row; −1 where none does."""
    if not len(radii):
        return np.full(len(distance), -1)
    held = np.where(distance <= radii, distance, np.inf)
    nearest = held.argmin(axis=1)
    which: Int[np.ndarray, " n"] = np.where(np.isfinite(held[np.arange(len(held)), nearest]), nearest, -1)
    return which


def swapped(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """The logits with the label's and the largest exchanged, so that the label is decided as surely as the other was.

    Rows that decide it already stay as they are, bit for bit.
    """
    answer, at = logits.copy(), np.flatnonzero(logits.argmax(axis=1) != labels)
    top, label = logits[at].argmax(axis=1), labels[at]
    answer[at, label], answer[at, top] = logits[at, top], logits[at, label]
    tied = at[answer[at].argmax(axis=1) != label]
    answer[tied, labels[tied]] = np.nextafter(answer[tied, labels[tied]], np.float32(np.inf))
    return answer
