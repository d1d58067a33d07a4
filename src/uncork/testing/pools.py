"""Pools made by hand, for probes' examples and tests: no training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from uncork.schema.pool import PoolData

_SHARED = 0.5  # of a score's variance: what all models find hard alike


def a_pool(
    n: int = 400,
    v: int = 400,
    *,
    classes: int = 3,
    halves: int = 8,
    quarters: int = 0,
    eighths: int = 0,
    full: int = 3,
    error: Mapping[int, float] | float = 0.1,
    arms: Mapping[str, float] | None = None,
    confirmed: tuple[str, ...] = (),
    flipped: float = 0.0,
    flipped_validation: float = 0.0,
    memorised: bool = True,
    seed: int = 0,
    **changes: Any,
) -> PoolData:
    """Models whose errors are drawn: a classifier's pool of n rows of train and v of validation.

    `error`: rate on rows a model has not seen, on clean labels, by size (1, 2, 4, 8) or for all. `arms`: by name, what
    is added to that rate; each has 4 halves, and as many full models as there are where it is `confirmed`. `flipped`,
    `flipped_validation`: share of random wrong labels; models know no better on rows that they have not seen.
    `memorised`: rows trained on are always right, by the label they have. `changes`: fields of PoolData.
    """
    rng = np.random.default_rng((seed, 7))
    truth, truth_v = np.arange(n) % classes, np.arange(v) % classes
    y, validation_y = (_flip(t, share, classes, rng) for t, share in ((truth, flipped), (truth_v, flipped_validation)))
    hard = {"train": rng.normal(size=n), "validation": rng.normal(size=v)}
    second = {"train": _other(truth, classes, rng), "validation": _other(truth_v, classes, rng)}
    eighth = [_eighths(truth, np.random.default_rng((seed, p))) for p in range(max(halves, quarters, eighths, 1))]
    arms = arms or {}
    design = [
        (size, index // size, index % size, "")
        for size, m in _counts(full, halves, quarters, eighths)
        for index in range(m)
    ]
    for arm in arms:
        design += [(2, index // 2, index % 2, arm) for index in range(min(4, halves))]
        design += [(1, index, 0, arm) for index in range(full)] if arm in confirmed else []

    included, on_train, on_validation = [], [], []
    for size, permutation, part, arm in design:
        seen = eighth[permutation] // (8 // size) == part if size > 1 else np.ones(n, bool)
        rate = (error if isinstance(error, float) else error[size]) + arms.get(arm, 0.0)
        drawn = np.random.default_rng((seed, size, permutation, part))  # an arm shares its plain twin's luck
        outputs = [
            _logits(t, second[name], hard[name], rate, classes, drawn)
            for name, t in (("train", truth), ("validation", truth_v))
        ]
        if memorised:
            own = np.zeros((n, classes))
            own[np.arange(n), y] = 6.0
            outputs[0] = np.where(seen[:, None], own, outputs[0])
        included.append(np.packbits(seen))
        on_train.append(outputs[0])
        on_validation.append(outputs[1])
    m = len(design)
    known: dict[str, Any] = {
        "task": "classification",
        "size": np.array([d[0] for d in design], np.int64),
        "permutation": np.array([d[1] for d in design], np.int64),
        "part": np.array([d[2] for d in design], np.int64),
        "arm": tuple(d[3] for d in design),
        "steps": np.full(m, 500),
        "seconds": np.ones(m),
        "included": np.array(included, np.uint8).reshape(m, -(-n // 8)),
        "on_train": np.array(on_train, np.float16).reshape(m, n, classes),
        "on_validation": np.array(on_validation, np.float16).reshape(m, v, classes),
        "y": y,
        "clusters": np.arange(n),
        "validation_y": validation_y,
        "validation_clusters": np.arange(v),
        "flagged": np.zeros(n, bool),
        "left_out": {},
        "matched": True,
        "parameters": {},
    }
    return PoolData(**{**known, **changes})


def no_pool(reason: str = "no recipe was given: give Subject(recipe=...)") -> PoolData:
    """What a subject that can't be retrained has."""
    return a_pool(halves=0, full=0, left_out={"pool": reason})


def _counts(full: int, halves: int, quarters: int, eighths: int) -> list[tuple[int, int]]:
    return [(1, full), (2, halves), (4, quarters), (8, eighths)]


def _eighths(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each row's eighth, balanced over the classes."""
    order = np.lexsort((rng.random(len(truth)), truth))
    part = np.empty(len(truth), np.int64)
    part[order] = np.arange(len(truth)) % 8
    return rng.permutation(8)[part]


def _flip(truth: np.ndarray, share: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    y = truth.copy()
    rows = rng.permutation(len(y))[: round(share * len(y))]
    y[rows] = _other(truth, classes, rng)[rows]
    return y


def _other(truth: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    other: np.ndarray = (truth + 1 + rng.integers(classes - 1, size=len(truth))) % classes
    return other


def _logits(
    truth: np.ndarray, second: np.ndarray, hard: np.ndarray, rate: float, classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Wrong where a normal score, partly the row's own, falls below the rate's quantile."""
    score = np.sqrt(_SHARED) * hard + np.sqrt(1 - _SHARED) * rng.normal(size=len(truth))
    margin = 3 * (score - stats.norm.ppf(np.clip(rate, 1e-6, 1 - 1e-6)))
    logits = np.full((len(truth), classes), -8.0)
    logits[np.arange(len(truth)), truth] = margin
    logits[np.arange(len(truth)), second] = 0.0
    return logits
