"""A classifier that tells rows of one split from another's."""

from __future__ import annotations

import time

import numpy as np

FAR = 5.0  # standard deviations, beyond which a value tells no more


def tell_apart(x: np.ndarray, new: np.ndarray, weight: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, float]:
    """((k,) log odds that a row of `fresh` is new, up to a constant; seconds). Runs in a process of its own."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    scale = StandardScaler().fit(_known(x))

    def features(rows: np.ndarray) -> np.ndarray:
        # What is missing lies at the mean, and nearer to it than values do.
        scaled = np.nan_to_num(np.clip(scale.transform(_known(rows)), -FAR, FAR))
        return np.concatenate([scaled, np.abs(scaled)], axis=1)

    fit = LogisticRegression(C=0.5 / x.shape[1], max_iter=50, tol=1e-3)
    fit.fit(features(x), new, sample_weight=weight)
    scores: np.ndarray = fit.decision_function(features(fresh)).astype(np.float32)
    return scores, time.perf_counter() - start


def _known(x: np.ndarray) -> np.ndarray:
    """Without what is infinite; columns without any value are 0."""
    known = np.isfinite(x)
    return np.where(known.any(axis=0), np.where(known, x, np.nan), 0.0)
