"""The rising step functions that make probabilities most like the shares of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def fit_isotonic(
    logits: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], K: int
) -> list[tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]]:
    """(probability, share of labels) at the knots of each class's isotonic regression against the rest, float64.

    Of two classes the second alone. Between knots the regression is linear, beyond them constant. Sources: Zadrozny &
    Elkan, KDD 2002; as scikit-learn's `CalibratedClassifierCV(method="isotonic")`.
    """
    p = softmax(logits.astype(np.float64), axis=1)
    knots = []
    for k in [1] if K == 2 else range(K):
        fitted = IsotonicRegression(out_of_bounds="clip").fit(p[:, k], y == k)
        knots.append((fitted.X_thresholds_, fitted.y_thresholds_))
    return knots
