"""How strange a row looks to a model, from its logits and penultimate features: larger is stranger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Logits = Float[np.ndarray, "n k"]
    Features = Float[np.ndarray, "n d"]
    Scores = Float[np.ndarray, " n"]

NEIGHBOURS = 10
OF_FEATURES = ("mahalanobis", "knn")
_BLOCK = 1024  # rows compared with the whole bank at a time
_NO_LOGITS = 1e-4  # of ln Σ exp of what are logarithms of probabilities, which is 0


def unsureness(logits: Logits) -> Scores:
    """−ln of the largest probability, in nats; sure rows keep their order where the probability itself rounds to 1.

    Source: Hendrycks & Gimpel, ICLR 2017.
    """
    result: Scores = logsumexp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True), axis=1)
    return result


def energy(logits: Logits) -> Scores:
    """−ln Σ exp of the logits as the net gives them (a constant added to a row changes it).

    Source: Liu et al., NeurIPS 2020.
    """
    result: Scores = -logsumexp(logits.astype(np.float64), axis=1)
    return result


def are_logits(logits: Logits) -> bool:
    """Whether they are more than logarithms of probabilities, whose energy is always 0."""
    return bool(np.abs(energy(logits)).max(initial=0.0) > _NO_LOGITS)


def mahalanobis(features: Features, means: Float[np.ndarray, "c d"], whitening: Float[np.ndarray, "d d"]) -> Scores:
    """Squared Mahalanobis distance to the nearest class mean, by `whitening` W with WᵀW the shared precision.

    Source: Lee et al., NeurIPS 2018.
    """
    centres, result = means @ whitening.T, np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        white = features[start : start + _BLOCK].astype(np.float64) @ whitening.T
        result[start : start + _BLOCK] = _squared(white, centres).min(axis=1)
    return result


def gaussians(features: Features, y: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """What `mahalanobis` takes: class means, and the whitening of the covariance that classes share.

    Within classes, shrunk after Ledoit & Wolf (J. Multivariate Analysis 88, 2004): units that never fire would leave it
    singular.
    """
    wide = features.astype(np.float64)
    classes, which = np.unique(y, return_inverse=True)
    means = np.stack([wide[which == c].mean(axis=0) for c in range(len(classes))])
    covariance = ledoit_wolf(wide - means[which], assume_centered=True)[0]
    at = np.diag_indices(len(covariance))
    covariance[at] += 1e-9 * max(float(covariance[at].mean()), 1e-12)
    whitening = solve_triangular(np.linalg.cholesky(covariance), np.eye(len(covariance)), lower=True)
    return {"means": means, "whitening": whitening}


def knn(features: Features, bank: Float[np.ndarray, "m d"]) -> Scores:
    """Distance to the 10th nearest row of `bank` (of fewer rows: the farthest), all scaled to length 1.

    `bank`: rows of length 1, as `normalised` makes them. Source: Sun et al., ICML 2022.
    """
    at, result = min(NEIGHBOURS, len(bank)) - 1, np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        near = _squared(normalised(features[start : start + _BLOCK]), bank)
        result[start : start + _BLOCK] = np.partition(near, at, axis=1)[:, at]
    return np.sqrt(result)


def normalised(features: Features) -> Features:
    """Rows scaled to length 1; a row of zeros stays."""
    wide = features.astype(np.float64)
    result: Features = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return result


def _squared(rows: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Squared distances of all pairs."""
    found = np.square(rows).sum(axis=1)[:, None] - 2 * rows @ others.T + np.square(others).sum(axis=1)
    result: Float[np.ndarray, "n m"] = np.maximum(found, 0.0)
    return result


@dataclass(frozen=True, eq=False)
class Detector:
    """One score, and what it was fitted to: `name` with the arrays that its function takes, none for logits' own."""

    name: str
    arrays: Mapping[str, np.ndarray]

    def __call__(self, logits: Logits, features: Features | None) -> Scores:
        """(n,) strangeness. `features` may be None where the score reads logits alone."""
        if self.name == "probability":
            return unsureness(logits)
        if self.name == "energy":
            return energy(logits)
        assert features is not None
        return (mahalanobis if self.name == "mahalanobis" else knn)(features, **self.arrays)


def detectors(logits: Logits, features: Features | None, y: Int[np.ndarray, " n"]) -> dict[str, Detector]:
    """Every score that a model allows, fitted to rows of train with labels `y`: by name."""
    found = {"probability": Detector("probability", {})}
    if are_logits(logits):
        found["energy"] = Detector("energy", {})
    if features is not None and features.shape[1]:
        found["mahalanobis"] = Detector("mahalanobis", gaussians(features, y))
        found["knn"] = Detector("knn", {"bank": normalised(features)})
    return found
