"""A model that hands over rows that look like none it was made for."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.derived.strangeness import OF_FEATURES, Detector
from uncork.models.aligned import Aligned
from uncork.models.base import BATCH, Model, Output
from uncork.models.patched import Patched
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput, Unavailable


class Rejecting(Wrapped):
    """`inner` that hands over rows stranger than `threshold` by `detector`; logits and features are unchanged.

    `rate`, `confidence`: with that probability at most that share of rows like those the threshold was set on, `rows`
    of them, is handed over. Raises BadInput where the threshold is no number.
    """

    called = "a detector of strangers"

    def __init__(
        self, inner: Model, detector: Detector, threshold: float, *, rate: float, confidence: float, rows: int
    ) -> None:
        super().__init__(inner)
        if not np.isfinite(threshold):
            raise BadInput(f"the threshold is {threshold}: give a number")
        self.detector, self.threshold = detector, float(threshold)
        self.rate, self.confidence, self.rows = float(rate), float(confidence), int(rows)
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(detector.arrays):
            digest.update(name.encode() + np.ascontiguousarray(detector.arrays[name]).tobytes())
        self.told = {
            "rejects": {
                "score": detector.name,
                "threshold": self.threshold,
                "false_rejection": self.rate,
                "confidence": self.confidence,
                "rows": self.rows,
                "hash": digest.hexdigest(),
            }
        }

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        out = self.inner.outputs(batch, features or self.detector.name in OF_FEATURES)
        known = self.detector(out.logits, out.features) <= self.threshold
        answered = known if out.answered is None else known & out.answered
        return Output(out.logits, out.features if features else None, answered)


def read(model: Model, split: Any, rows: np.ndarray, place: str, size: int = BATCH) -> Output:
    """Logits, features (None where the model has none) and which are answered, of these rows of a Split.

    Raises Unavailable naming the row where the model says NaN or inf of it.
    """
    outs = [model.outputs(split.take(rows[at : at + size]), features=True) for at in range(0, len(rows), size)]
    logits = np.concatenate([out.logits for out in outs])
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise Unavailable(f"{place}: the model says NaN or inf of row {rows[bad[0]]}: leave such rows out")
    answered = [np.ones(len(out.logits), bool) if out.answered is None else out.answered for out in outs]
    features = None
    if all(out.features is not None for out in outs):
        features = np.concatenate([np.asarray(out.features) for out in outs])
    return Output(logits, features, np.concatenate(answered))


def alike(model: Model, inner: Model, refit: Callable[[Rejecting, Model], Model]) -> Model:
    """`inner`, a model retrained on other rows, with around it what is around `model`.

    What was fitted to the old model's features is fitted anew by `refit(old, new inner)`; the rest stays as it is.
    """
    if isinstance(model, Rejecting):
        return refit(model, alike(model.inner, inner, refit))
    if isinstance(model, Wrapped):
        around = alike(model.inner, inner, refit)
        if isinstance(model, Aligned | Patched):
            return around  # in the order of the classes already; and patches are of the old one's features
        twin = copy.copy(model)
        twin.inner = around
        return twin
    return inner
