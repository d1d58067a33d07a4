"""Small artifacts made by hand, for probes' examples and tests: no model, no training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uncork.schema.artifacts import (
    CodeLengthData,
    FactsData,
    FingerprintsData,
    PassData,
    RelabelledData,
    TrialData,
    TunedData,
    TwoSampleData,
)
from uncork.schema.metric import Metric
from uncork.schema.subject import REQUIREMENTS


def a_pass(
    n: int,
    *,
    error: float,
    confidence: float | None = None,
    classes: int = 2,
    seed: int = 0,
    groups: int | None = None,
) -> PassData:
    """A classifier's pass: wrong on exactly round(error · n) rows, with the same confidence on every row.

    `confidence` defaults to what the error makes right, 1 − error (kept between 1/classes and .999).
    `groups`: rows fall into so many clusters.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes  # the same labels for every seed, so that passes can be paired
    predicted = y.copy()
    wrong = rng.permutation(n)[: round(error * n)]
    predicted[wrong] = (y[wrong] + 1 + rng.integers(max(classes - 1, 1), size=len(wrong))) % classes
    sure = min(max(1 - error if confidence is None else confidence, 1 / classes + 1e-3), 0.999)
    probability = np.full((n, classes), (1 - sure) / (classes - 1))
    probability[np.arange(n), predicted] = sure
    clusters = None if groups is None else rng.integers(groups, size=n)
    return PassData.of_logits(np.log(probability), y, clusters=clusters)


def calibrated_pass(n: int, *, classes: int = 2, sharpness: float = 2.0, seed: int = 0) -> PassData:
    """A classifier that is right exactly as often as it says: labels are drawn from its own probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=sharpness, size=(n, classes)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    return PassData.of_logits(logits, (logits + gumbel).argmax(axis=1))


def facts(**changes: Any) -> FactsData:
    """Facts of a two-class classifier scored by its error, with the default requirements."""
    counts = changes.get("class_counts", ())
    known: dict[str, Any] = {
        "task": "classification",
        "metric": Metric("error"),
        "classes": tuple(f"class {i}" for i in range(max(len(counts), 2))),
        "require": dict(REQUIREMENTS),
        "sizes": {},
        "class_counts": (),
        "has_recipe": False,
        "has_inputs": True,
    }
    return FactsData(**{**known, **changes})


def relabelled(labels: Mapping[int, int] | None = None, *, asked: Sequence[str] = ()) -> RelabelledData:
    """Rows of train labelled anew: by position, the class they were given."""
    rows = sorted(labels or {})
    given = [labels[row] for row in rows] if labels else []
    return RelabelledData(np.array(rows, np.int64), np.array(given, np.int64), tuple(asked))


def fingerprints(
    *, train: np.ndarray, validation: np.ndarray, test: np.ndarray, spiked: tuple[int, int] = (0, 0)
) -> FingerprintsData:
    """Fingerprints of rows whose whole content is one number; no near duplicates."""

    def hashes(content: np.ndarray) -> np.ndarray:
        digests = b"".join(hashlib.blake2b(str(c).encode(), digest_size=16).digest() for c in content)
        return np.frombuffer(digests, np.uint8).reshape(-1, 16)

    return FingerprintsData(
        train=hashes(train),
        validation=hashes(validation),
        test=hashes(test),
        near_pairs=np.zeros((0, 2), np.int64),
        near_split=np.zeros(0, np.int64),
        near_distance=np.zeros(0),
        near_queried=(0, 0),
        spiked=spiked[0],
        spiked_found=spiked[1],
    )


def a_trial(winner: PassData, tuned: PassData | None = None) -> TrialData:
    """A trial that only the given rival won. `tuned`: what the recipe by the best of its settings says."""
    net = None if tuned is None else TunedData("rate 0.001, decay 0.01", 0.0, 0.2, tuned)
    why = "" if net else "no recipe was given"
    known: dict[str, Any] = {"settings": ("penalty 1",), "tuned": net, "untuned": why}
    return TrialData(("linear",), (0.0,), (0.1,), 100, 500, "linear", winner, **known)


def a_two_sample(
    n: int = 400, v: int = 400, *, apart: float = 0.0, classes: int = 3, seed: int = 0, **changes: Any
) -> TwoSampleData:
    """Classifiers' normal scores of n rows of train and v of validation, larger by `apart` s.d.: AUC Φ(apart / √2).

    `changes`: fields of TwoSampleData.
    """
    rng = np.random.default_rng((seed, 11))
    new = np.arange(n + v) >= n
    known: dict[str, Any] = {
        "score": (rng.normal(size=n + v) + apart * new).astype(np.float32),
        "new": new,
        "fold": rng.permutation(n + v) % 2,
        "y": rng.permutation(n + v) % classes,
        "clusters": np.arange(n + v),
        "seconds": 0.1,
    }
    return TwoSampleData(**{**known, **changes})


def no_two_sample(reason: str = "only predictions were given") -> TwoSampleData:
    """What a subject has whose rows can't be told apart."""
    return a_two_sample(0, 0, reason=reason)


def a_code_length(n: int = 400, *, seed: int = 0, **bits: float) -> CodeLengthData:
    """Families' bits of n rows of train: each row's by chance, of that mean, with models of any size."""
    rng = np.random.default_rng((seed, 13))
    each = [mean * rng.exponential(size=(3, n)) for mean in bits.values()]
    blocks = np.array(each, np.float32).reshape(len(bits), 3, n)
    return CodeLengthData(tuple(bits), blocks, (0.1,) * len(bits), "" if bits else "no train")
