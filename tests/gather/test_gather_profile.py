"""Size and speed: parameters are counted, times are those of the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork import Split
from uncork.gather._contract import Context
from uncork.gather.profile import BATCHES, SINGLES, gather
from uncork.models.predictions import Predictions
from uncork.schema.artifacts import Profile
from uncork.testing.gatherers import check_gatherer

TIMES = ("single_seconds", "batch_seconds", "batch_size")


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, Profile(), context, measured=TIMES)


def test_parameters_and_bytes_are_counted(context: Context) -> None:
    found = gather.gather(Profile(), context)
    assert found.parameters == 64 * 12 + 12 + 12 * 10 + 10
    assert found.bytes == 4 * found.parameters
    assert found.device == "cpu"
    assert found.batch_size == context.batch_size
    assert found.single_seconds.shape == (SINGLES,)
    assert found.batch_seconds.shape == (BATCHES,)
    assert (found.single_seconds > 0).all()


def test_a_planted_sleep_is_measured(context_of: Callable[..., Context], digits: Any) -> None:
    """Sleep never ends early; what comes on top is this machine's."""

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.001 + 1e-4 * len(x))
            return self.layer(x)

    x, y = digits
    found = gather.gather(Profile(), context_of(model=Slow(), test=Split(x[:60], y[:60])))
    assert found.batch_size < 60  # half of test: fewer than a batch
    assert (found.single_seconds >= 0.0011).all()
    assert (found.batch_seconds >= 0.001 + 1e-4 * found.batch_size).all()
    assert np.median(found.single_seconds) < np.median(found.batch_seconds)


def test_what_has_no_parameters_says_so(context_of: Callable[..., Context]) -> None:
    probability = np.random.default_rng(0).dirichlet([1, 1], 100)
    found = gather.gather(Profile(), context_of(model=Predictions(), test=Split(probability, np.arange(100) % 2)))
    assert found.parameters is None
    assert found.bytes is None
