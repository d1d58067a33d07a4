"""How much evidence features give of labels, without fitting a head: for a short list, never for a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

_STEPS = 100


def log_evidence(x: Float[np.ndarray, "n d"], y: np.ndarray, classes: int) -> float:
    """Log evidence per row (nats) of Bayesian linear regression of the labels on features, at its largest.

    LogME: y = x w + ε with w ~ N(0, 1/α), ε ~ N(0, 1/β), each class's indicator for itself and their mean; `classes` 0:
    of the target. x is centred, and so is y. α and β by fixed point. Source: You, Liu, Wang & Long, LogME, ICML 2021.
    """
    x = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
    targets = [y] if classes == 0 else [y == c for c in np.unique(y)]
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    there = s > 1e-9 * s.max(initial=0.0)
    s, u = s[there], x @ vt[there].T / s[there]
    found = []
    for target in targets:
        t = np.asarray(target, np.float64)
        found.append(_evidence(s**2, u.T @ (t - t.mean()), float(np.square(t - t.mean()).sum()), *x.shape))
    return float(np.mean(found))


def _evidence(square: np.ndarray, along: np.ndarray, total: float, n: int, d: int) -> float:
    """square: eigenvalues of xᵀx that are not 0; along: the target's coordinates on them; total: its length squared."""
    alpha, beta = 1.0, 1.0
    outside = total - float(np.square(along).sum())
    for _ in range(_STEPS):
        precision = alpha + beta * square
        m2 = float((beta**2 * square * np.square(along) / precision**2).sum())
        misfit = max(outside + float((np.square(along) * (alpha / precision) ** 2).sum()), 1e-12 * total)
        gamma = float((beta * square / precision).sum())
        before, alpha, beta = (alpha, beta), gamma / max(m2, 1e-12), max(n - gamma, 1e-6) / misfit
        if abs(np.log(alpha / before[0])) + abs(np.log(beta / before[1])) < 1e-6:
            break
    precision = alpha + beta * square
    m2 = float((beta**2 * square * np.square(along) / precision**2).sum())
    misfit = max(outside + float((np.square(along) * (alpha / precision) ** 2).sum()), 1e-12 * total)
    # Directions without spread have precision α, and cancel from d · ln α.
    logs = len(square) * np.log(alpha) - float(np.log(precision).sum())
    return float(n * np.log(beta / (2 * np.pi)) + logs - beta * misfit - alpha * m2) / (2 * n)
