"""Answers to rows in other formats, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncork.schema.formats import FormatsData


def a_formats(
    n: int = 500, *, error: float = 0.1, formats: Mapping[str, float | str] | None = None, seed: int = 0, **changes: Any
) -> FormatsData:
    """A two-class model with `error` on n rows as they are, and in each format the error given, or why it refuses it.

    Each row has a hardness of its own that all formats share: with the larger error the same rows are wrong, and more.
    `changes`: fields of FormatsData.
    """
    rng = np.random.default_rng((seed, 17))
    asked: dict[str, float | str] = {"× 255": 0.5, "channels last": "wrong shape"} if formats is None else dict(formats)
    y, hard = np.arange(n) % 2, rng.permutation(n) / n
    ran = np.array([0 if isinstance(of, str) else n for of in asked.values()], np.int64)

    def decided(share: float | str) -> np.ndarray:
        return np.full(n, -1) if isinstance(share, str) else np.where(hard < share, 1 - y, y)

    predicted = [decided(of) for of in asked.values()]
    taken = np.broadcast_to((ran > 0)[:, None], (len(asked), n)).copy()
    known: dict[str, Any] = {
        "task": "classification",
        "names": tuple(asked),
        "refused": tuple(of if isinstance(of, str) else "" for of in asked.values()),
        "ran": ran,
        "rows": np.arange(n),
        "y": y,
        "clusters": np.arange(n),
        "predicted": decided(error),
        "answered": np.ones(n, bool),
        "predicted_as": np.array(predicted, np.int64).reshape(len(asked), n),
        "answered_as": taken,
        "finite": taken,
        "alone": np.zeros(min(n, 32), np.float32),
        "shuffled": np.zeros(min(n, 128), np.float32),
        "again": np.zeros(min(n, 128), np.float32),
    }
    return FormatsData(**{**known, **changes})
