"""Passes drawn from a population whose truth is known, and the edge cases that every probe must survive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from uncork.schema.artifacts import PassData
from uncork.testing.artifacts import a_pass, calibrated_pass

DrawnPass = Callable[..., PassData]


@pytest.fixture(scope="session")
def drawn() -> DrawnPass:
    """(y, error of each row or of all, seed) → a pass whose rows are wrong with that probability, independently."""

    def make(y: np.ndarray, error: float | np.ndarray, seed: int, *, classes: int = 2) -> PassData:
        rng = np.random.default_rng(seed)
        wrong = rng.random(len(y)) < error
        predicted = np.where(wrong, (y + 1 + rng.integers(classes - 1, size=len(y))) % classes, y)
        logits = np.zeros((len(y), classes), np.float32)
        logits[np.arange(len(y)), predicted] = 1 + rng.random(len(y))
        return PassData.of_logits(logits, y)

    return make


def _edge_cases() -> dict[str, PassData]:
    rng = np.random.default_rng(0)
    many = rng.integers(150, size=300)
    huge = np.where(np.arange(400)[:, None] % 2 == np.arange(2), 1e30, -1e30)
    one_sided = calibrated_pass(400, classes=4, seed=2)
    one_sided = one_sided.take(one_sided.y < 2)
    return {
        "one row": a_pass(1, error=0.0),
        "twenty rows": a_pass(20, error=0.1),
        "binary": calibrated_pass(500, classes=2),
        "150 classes, 300 rows": PassData.of_logits(rng.normal(size=(300, 150)), many),
        "all right": a_pass(300, error=0.0, confidence=0.9),
        "all wrong": a_pass(300, error=1.0, confidence=0.9),
        "huge logits, all right": PassData.of_logits(huge, np.arange(400) % 2),
        "huge logits, some wrong": PassData.of_logits(huge, np.arange(400) % 2 ^ (np.arange(400) < 40)),
        "two classes of four absent": one_sided,
        "five groups": a_pass(300, error=0.1, groups=5, seed=3),
        "one group": a_pass(300, error=0.1, groups=1),
    }


_EDGES = _edge_cases()


@pytest.fixture(params=_EDGES)
def edge(request: pytest.FixtureRequest) -> PassData:
    """Passes at the edge of what can be measured."""
    return _EDGES[request.param]
