"""half: sixteen bits, where they are not slower, and saved as such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import estimator

from uncork import Split, Subject, load_treated
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.torch_model import TorchModel
from uncork.remedies import half
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.testing.remedies import check_remedy

CaseOf = Callable[..., Any]


def planted(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    found = Estimate(factor, factor - 0.01, factor + 0.01, "times faster", 10, "planted")
    monkeypatch.setattr("uncork.remedies._faster.times_faster", lambda *_, **__: found)


def test_keeps_the_contract(case_of: CaseOf, noisy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, 1.05)
    check_remedy(half.apply, lambda: case_of(noisy))


def test_half_the_bytes_save_and_load(
    case_of: CaseOf, noisy: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted(monkeypatch, 1.05)
    treated = half.apply.apply(case_of(noisy))
    before, after = adapt(noisy, "classification"), adapt(treated.subject, "classification")
    assert treated.changes == "run in bfloat16"
    assert before.describe()["bytes"] == 2 * after.describe()["bytes"]
    assert next(noisy.model.parameters()).dtype == torch.float32
    save_treated(tmp_path, treated.subject, after, ["half"])
    loaded = load_treated(tmp_path, noisy.recipe.build)
    assert np.array_equal(logits_of(loaded, noisy.validation), logits_of(after, noisy.validation))
    assert not np.array_equal(logits_of(before, noisy.validation), logits_of(after, noisy.validation))


def test_what_stands_before_the_net_stays_there(
    case_of: CaseOf, noisy: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a transformer that was loaded with its tokeniser and the names of its classes."""
    planted(monkeypatch, 1.05)
    names = tuple(f"digit {k}" for k in range(adapt(noisy, "classification").n_outputs))
    own = TorchModel(noisy.model, task="classification", preprocess=lambda x: 2 * x)
    own.classes = names
    treated = half.apply.apply(case_of(noisy.replace(model=own)))
    model = adapt(treated.subject, "classification")
    before, after = (logits_of(m, noisy.validation) for m in (own, model))
    np.testing.assert_allclose(before, after, atol=0.05 * np.abs(before).max())
    assert model.classes == names


def test_where_it_is_slower_it_does_not_pay(case_of: CaseOf, noisy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, 0.5)
    with pytest.raises(Unavailable, match=r"doesn't pay on this machine .*bfloat16 0.50"):
        half.apply.apply(case_of(noisy))


class Picky(torch.nn.Module):
    """A net that takes floats of 32 bits alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float32:
            raise TypeError(f"not {x.dtype}")
        out: torch.Tensor = self.linear(x)
        return out


def test_a_net_that_refuses_sixteen_bits_is_left_as_it_is(case_of: CaseOf, digits: Any) -> None:
    x, y = digits
    subject = Subject(Picky(), train=Split(x[:50], y[:50]), validation=Split(x[50:99], y[50:99]), test=None)
    with pytest.raises(Unavailable, match=r"bfloat16: not torch.bfloat16; float16: not torch.float16"):
        half.apply.apply(case_of(subject))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Any) -> None:
    x, y = digits
    train = Split(x[:200], y[:200])
    subject = Subject(estimator(train, 0), train=train, validation=Split(x[200:300], y[200:300]), test=None)
    with pytest.raises(Unavailable, match="bare torch modules"):
        half.apply.apply(case_of(subject))
