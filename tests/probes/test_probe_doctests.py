"""The example on every probe's page runs and is true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from uncork.probes._contract import registered


def test_the_probes_are_there() -> None:
    assert {
        "excess-capacity",
        "leaked-examples",
        "miscalibration",
        "missing-capacity",
        "mistuned-training",
        "overfitting",
        "rare-classes",
        "undertraining",
        "unguaranteed-errors",
        "wrong-family",
    } <= set(registered())


@pytest.mark.parametrize("id", sorted(registered()))
def test_example_on_the_page_is_true(id: str) -> None:
    module = importlib.import_module(registered()[id].measure.__module__)
    result = doctest.testmod(module)
    assert result.attempted >= 3
    assert result.failed == 0
