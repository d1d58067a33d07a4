"""Digits of USPS to a net for MNIST, and pictures stored anew to ResNet-20."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import shift as module
from uncork.gather.shifted import gather
from uncork.schema.shifted import Shifted


def test_enlarging_is_bilinear() -> None:
    """A ramp stays one, between its ends; sizes are MNIST's."""
    ramp = np.broadcast_to(np.arange(16.0), (2, 16, 16))
    large = module.enlarged(ramp)
    assert large.shape == (2, 28, 28)
    np.testing.assert_allclose(np.diff(large[0, 5, 1:-1]), 16 / 28, atol=1e-9)
    np.testing.assert_allclose(large[0, :, 7], large[0, 0, 7])


@pytest.mark.slow
@pytest.mark.shared_data
def test_what_usps_costs_and_what_confidence_would_have_said(shared_data: Path) -> None:
    """Figures of docs/shift.md, with room for another machine's kernels: the net is sure of its new errors."""
    world = module.World.of(module.digits(5000))
    data = gather.gather(Shifted(), world.context)
    found = world.found(None, data).estimates
    assert found["drop"].low > 200
    assert max(found[name].high for name in ("threshold", "confidence")) < found["shifted"].low
    few = world.found(100, data).estimates["shifted"]
    assert few.low < found["shifted"].value < few.high
    assert found["two_sample_auc"].low > 0.95


@pytest.mark.slow
@pytest.mark.shared_data
def test_what_storing_anew_costs(shared_data: Path) -> None:
    """The full set is known to fall by 107 errors per 1,000; about 640 of its pairs say as much."""
    world = module.World.of(module.resnet(1000))
    found = world.found(None, gather.gather(Shifted(), world.context)).estimates
    assert found["drop"].low < 107 < found["drop"].high
    assert "paired" in found["drop"].method
