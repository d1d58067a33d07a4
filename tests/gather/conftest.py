"""Contexts of small subjects, without processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from torch import nn

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.run.admit import admit


class Inline:
    """A `Fan` that runs in this process."""

    workers = 2

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [function(*job) for job in jobs]

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        return (function(*job) for job in jobs)


inline = Inline()


@pytest.fixture(scope="session")
def context_of() -> Callable[..., Context]:
    """Subject, or the arguments of one → the context an audit would gather in."""

    def make(subject: Subject | None = None, *, seed: int = 0, fan: Any = inline, **given: Any) -> Context:
        return admit(subject or Subject(**given), describe_only=False, seed=seed, fan=fan).context

    return make


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture
def net() -> nn.Module:
    """64 → 12 → 10, untrained."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 10)).train()


@pytest.fixture
def context(context_of: Callable[..., Context], net: nn.Module, digits: Any) -> Context:
    """Digits in three splits of 500, 500 and 797 rows, and an untrained net."""
    x, y = digits
    cuts = {"train": slice(500), "validation": slice(500, 1000), "test": slice(1000, None)}
    return context_of(model=net, **{name: Split(x[rows], y[rows]) for name, rows in cuts.items()})
