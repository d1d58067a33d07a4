"""test-time-augmentation: a net for upright pictures on turned ones, and augment with the views a finding named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import SOUND, subject_of
from torch import nn

from uncork import Split, Subject, load_treated
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.viewed import Viewed
from uncork.remedies import augment
from uncork.remedies.test_time_augmentation import apply
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.testing.missing_invariance import an_invariance
from uncork.testing.remedies import check_remedy
from uncork.train.augment import RandomView

CaseOf = Callable[..., Any]


class Left(nn.Module):
    """Whether a spot is bright or dark, which it looks for on the left alone: on the right it guesses."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x[:, 0, :, :3].sum(dim=(1, 2))
        return self.scale * torch.stack([-seen - 0.3, seen + 0.3], dim=1)


def spots(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    y, x = rng.integers(2, size=n), np.zeros((n, 1, 7, 7), np.float32)
    x[np.arange(n), 0, rng.integers(7, size=n), np.where(rng.random(n) < 0.5, 1, 5)] = 2.0 * y - 1
    return Split(x, y)


def subject() -> Subject:
    return Subject(Left(), validation=spots(400, 0), test=None)


def test_the_views_that_show_it_are_chosen(case_of: CaseOf) -> None:
    treated = apply.apply(case_of(subject(), n_classes=2))
    assert isinstance(treated.subject.model, Viewed)
    assert treated.subject.model.name in ("mirrored", "turned by 90°")
    fresh = spots(1000, 1)
    before, after = (
        (logits_of(as_model(m, "classification"), fresh).argmax(axis=1) != fresh.y).mean()
        for m in (Left(), treated.subject.model)
    )
    assert before > 0.2
    assert after < 0.05
    assert f"each takes {treated.amount} times as long" in treated.changes


def test_keeps_the_contract(case_of: CaseOf) -> None:
    check_remedy(apply, lambda: case_of(subject(), n_classes=2))


def test_it_is_saved_by_the_name_of_its_views(case_of: CaseOf, tmp_path: Path) -> None:
    treated = apply.apply(case_of(subject(), n_classes=2))
    save_treated(tmp_path, treated.subject, treated.subject.model, ["test-time-augmentation"])
    x = spots(60, 2).take(np.arange(60))
    expected = treated.subject.model.outputs(x).logits
    np.testing.assert_array_equal(load_treated(tmp_path, Left).inner.outputs(x).logits, expected)


def test_where_views_help_nothing_or_there_are_none(case_of: CaseOf, digits: Any) -> None:
    x, y = digits
    table = subject_of(SOUND, x[:100], y[:100])
    with pytest.raises(Unavailable, match="no views are known"):
        apply.apply(case_of(table))
    with pytest.raises(Unavailable, match="a regression has none"):
        apply.apply(case_of(table, task="regression"))
    right = spots(200, 3)
    kept = right.take(np.arange(200))[:, 0, :, 1].any(axis=1)
    with pytest.raises(Unavailable, match="no mean over views"):
        apply.apply(case_of(Subject(Left(), validation=right.subset(kept), test=None), n_classes=2))


def test_augment_tries_the_views_that_the_finding_named_first(case_of: CaseOf, digits: Any) -> None:
    x, y = digits
    pictures = subject_of(SOUND, x[:100].reshape(-1, 1, 8, 8), y[:100])
    named = an_invariance(error=0.15, averaged={"turned by 15°": 0.05, "shifted": 0.3}, lost=0.3)
    found = augment.named_by_finding(case_of(pictures, invariance=named))
    assert next(iter(found.values())) == RandomView("turned by 15°")
    assert set(found.values()) <= {RandomView("turned by 15°"), RandomView("shifted")}
    assert augment.named_by_finding(case_of(pictures)) == {}
    assert augment.named_by_finding(case_of(subject_of(SOUND, x[:100], y[:100]), invariance=named)) == {}


def test_random_views_are_of_the_row_or_the_row_itself() -> None:
    x = np.random.default_rng(0).random((200, 1, 8, 8)).astype(np.float32)
    drawn = RandomView("mirrored").rows(x, torch.Generator().manual_seed(0))
    mirrored = (drawn == x[..., ::-1]).all(axis=(1, 2, 3))
    assert ((drawn == x).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 60 < mirrored.sum() < 140  # binomial, one in two: chance of failing below 1e-7
    texts = RandomView("lower case").rows(["AB", "CD"] * 20, torch.Generator().manual_seed(0))
    assert set(texts) == {"AB", "CD", "ab", "cd"}
