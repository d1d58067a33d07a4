"""Small nets on digits, trained in a moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from uncork.stress.ball import Ball

Rows = tuple[Tensor, Tensor]


def fitted(module: nn.Module, x: Tensor, y: Tensor, steps: int = 60) -> nn.Module:
    """By Adam on all rows at once; in eval mode, its parameters without gradients."""
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        cross_entropy(module(x), y).backward()
        optimiser.step()
    optimiser.zero_grad()
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def digits() -> Rows:
    """(x (n, 64) in 0…1, y) of scikit-learn's digits 6 to 9 as classes 0 to 3: as few classes as DLR takes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = x[y > 5], y[y > 5] - 6
    return torch.from_numpy((x / 16).astype(np.float32)), torch.from_numpy(y)


@pytest.fixture(scope="session")
def net(digits: Rows) -> nn.Module:
    """64 → 32 → 4."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fitted(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)), *digits)


@pytest.fixture(scope="session")
def right(digits: Rows, net: nn.Module) -> Rows:
    """120 rows that the net is right on."""
    x, y = digits
    kept = torch.nonzero(net(x).argmax(1) == y)[:120, 0]
    return x[kept], y[kept]


@pytest.fixture
def ball() -> Callable[..., Ball]:
    def make(norm: str, eps: float, low: float = 0.0, high: float = 1.0) -> Ball:
        return Ball(norm, eps, torch.tensor(low), torch.tensor(high))

    return make


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
