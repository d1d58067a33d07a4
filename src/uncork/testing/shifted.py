"""Shifted rows made by hand, for examples and tests: no model, no training."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.schema.artifacts import PassData
from uncork.schema.shifted import ShiftedData, ShiftedLabelsData
from uncork.testing.artifacts import a_two_sample, no_two_sample


def a_shifted(passed: PassData, *, validation: int = 0, apart: float | None = None, **changes: Any) -> ShiftedData:
    """What a model says of shifted rows, from its pass over them. `validation`: how many rows that has.

    `apart`: classifiers tell them from validation's by scores so many s.d. larger; None: they can't be told apart.
    `changes`: fields of ShiftedData.
    """
    known: dict[str, Any] = {
        "task": passed.task,
        "logits": passed.logits,
        "predicted": passed.predicted,
        "answered": passed.answered,
        "rows": passed.rows,
        "clusters": validation + passed.clusters,
        "pairs": np.zeros((0, 2), np.int64),
        "told": no_two_sample() if apart is None else a_two_sample(apart=apart, classes=1),
        "size": len(passed),
    }
    return ShiftedData(**{**known, **changes})


def shifted_labels(passed: PassData, k: int | None = None, *, asked: tuple[str, ...] = ()) -> ShiftedLabelsData:
    """Labels of all rows of the pass, or of the first k of them, which are random where its rows are."""
    n = len(passed) if k is None else k
    return ShiftedLabelsData(passed.rows[:n], passed.y[:n], sampled=n < len(passed) or n == 0, asked=asked)
