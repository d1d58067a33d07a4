"""patch: gains where mistakes lie together, nothing where they are scattered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Split, Subject
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.predictions import Predictions
from uncork.remedies.patch import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy


def sign() -> nn.Module:
    """Decides by the sign of the first column; its features are the rows."""
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-1.0, 0], [1, 0]]))
        net.bias.zero_()
    return net


def rows(n: int, seed: int, *, cluster: float = 0.0, noise: float = 0.0) -> Split:
    """A cloud cut by the sign, a `cluster` far off that the sign gets wrong, and labels turned at random."""
    rng = np.random.default_rng(seed)
    off = rng.random(n) < cluster
    x = rng.normal(size=(n, 2)) + np.where(off, 20, 0)[:, None] * [0.2, 1]
    y = (x[:, 0] > 0) ^ off ^ (rng.random(n) < noise)
    return Split(x.astype(np.float32), y.astype(int))


def error(subject: Subject, split: Split) -> float:
    return float((logits_of(adapt(subject, "classification"), split).argmax(axis=1) != split.y).mean())


def test_a_cluster_is_mended_on_new_rows(case_of: Callable[..., Any]) -> None:
    subject = Subject(sign(), test=None, validation=rows(1000, 0, cluster=0.1))
    new = rows(5000, 1, cluster=0.1)
    treated = apply.apply(case_of(subject, n_classes=2))
    assert error(subject, new) > 0.08
    assert error(treated.subject, new) < 0.003
    assert apply.control(case_of(subject, n_classes=2), treated).subject.model is subject.model


def test_scattered_mistakes_gain_nothing(case_of: Callable[..., Any]) -> None:
    """Turned labels: the nearest rows are right as they are. Of 5,000 new rows about 1 in 1,000 is broken, and more
    than 15 more than are repaired with odds below 1e-3 (fixed seed)."""
    subject = Subject(sign(), test=None, validation=rows(1000, 0, noise=0.1))
    new = rows(5000, 1, noise=0.1)
    treated = apply.apply(case_of(subject, n_classes=2))
    assert abs(error(treated.subject, new) - error(subject, new)) < 0.003
    assert error(treated.subject, subject.validation) < 0.005  # the rows themselves are mended


def test_without_a_mistake_there_is_nothing_to_correct(case_of: Callable[..., Any]) -> None:
    clean = Subject(sign(), test=None, validation=rows(400, 0))
    with pytest.raises(Unavailable, match="the model is right on all 400 rows"):
        apply.apply(case_of(clean, n_classes=2))


def test_keeps_the_contract(case_of: Callable[..., Any], noisy: Subject) -> None:
    check_remedy(apply, lambda: case_of(noisy))
    subject = Subject(sign(), test=None, validation=rows(500, 0, noise=0.1))
    check_remedy(apply, lambda: case_of(subject, n_classes=2))


def test_what_has_no_classes_or_no_model(case_of: Callable[..., Any]) -> None:
    subject = Subject(sign(), test=None, validation=rows(100, 0))
    with pytest.raises(Unavailable, match="regression"):
        apply.apply(case_of(subject, task="regression"))
    blind = Subject(Predictions(), test=None, validation=Split(np.full((50, 2), 0.5), np.arange(50) % 2))
    with pytest.raises(Unavailable, match="no model to patch"):
        apply.apply(case_of(blind, n_classes=2))
