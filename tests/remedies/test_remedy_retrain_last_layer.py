"""retrain-last-layer: a head that leans on a shortcut is set right where the features hold the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Split, Subject
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.temperature import Tempered
from uncork.remedies.retrain_last_layer import apply
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.testing.shortcut_features import shortcuts

CaseOf = Callable[..., Any]
TOLD = 0.9


def rows_of(n: int, seed: int, told: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes: two columns tell them, noisily, and a third is the class's own in a share `told` of the rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    centres = 2.2 * np.array([[1, 0], [-0.5, 0.87], [-0.5, -0.87]])
    mark = np.where(rng.random(n) < told, y, rng.integers(3, size=n))
    return np.c_[centres[y] + rng.normal(size=(n, 2)), 3.0 * mark].astype(np.float32), y, mark


class Marked(nn.Module):
    """Features: the two columns, and which mark; the head leans on the mark far more than on the rest."""

    def __init__(self, informed: bool = True) -> None:
        super().__init__()
        self.informed = informed
        self.head = nn.Linear(5, 3)
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.weight.zero_()
            self.head.weight[:, 2:] = 6 * torch.eye(3)
            self.head.weight[:, :2] = torch.tensor([[1, 0], [-0.5, 0.87], [-0.5, -0.87]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mark = nn.functional.one_hot((x[:, 2] / 3).round().long().clamp(0, 2), 3).to(x.dtype)
        rest = x[:, :2] if self.informed else torch.zeros_like(x[:, :2])
        logits: torch.Tensor = self.head(torch.cat([rest, mark], dim=1))
        return logits


def subject_of(model: nn.Module, n: int = 1200) -> Subject:
    x, y, _ = rows_of(600, 1, TOLD)
    held, labels, _ = rows_of(n, 2, TOLD)
    return Subject(model, train=Split(x, y), validation=Split(held, labels), test=None)


def found(n: int = 1200) -> Any:
    """A finding's artifact that names the third column."""
    return shortcuts(n, parts={"column 0": 0.0, "column 1": 0.0, "column 2": 0.9}, classes=3, suspect=False)


def error(model: nn.Module, told: float) -> np.ndarray:
    """(of rows whose mark is another class's, of those whose mark is their own)."""
    x, y, mark = rows_of(4000, 3, told)
    wrong = logits_of(as_model(model, "classification"), Split(x, y)).argmax(axis=1) != y
    return np.array([wrong[mark != y].mean(), wrong[mark == y].mean()])


def test_the_worse_rows_are_set_right(case_of: CaseOf) -> None:
    case = case_of(subject_of(Marked()), n_classes=3, shortcuts=found())
    treated = apply.apply(case)
    control = apply.control(case, treated)
    before, after, beside = (
        error(s.subject.model, TOLD) for s in (replace(treated, subject=case.subject), treated, control)
    )
    assert before[0] > 0.9
    assert after[0] < 0.25  # by the two columns alone: about .1
    assert after[0] < beside[0] - 0.1  # the same rows, all weighing alike
    assert after[1] < 0.1
    assert "column 2 agrees with the label" in treated.changes
    assert treated.amount > 50
    assert treated.train is None


def test_nothing_else_of_the_net_is_changed(case_of: CaseOf) -> None:
    case = case_of(subject_of(Marked()), n_classes=3, shortcuts=found())
    given = {name: tensor.clone() for name, tensor in case.subject.model.state_dict().items()}
    after = apply.apply(case).subject.model.state_dict()
    assert all(torch.equal(given[name], tensor) for name, tensor in case.subject.model.state_dict().items())
    assert {name for name in given if not torch.equal(given[name], after[name])} <= {"head.weight", "head.bias"}


def test_without_a_part_rows_decided_wrong_weigh_more(case_of: CaseOf) -> None:
    treated = apply.apply(case_of(subject_of(Marked()), n_classes=3))
    assert "rows decided wrong four times as much" in treated.changes
    assert error(treated.subject.model, TOLD)[0] < error(Marked(), TOLD)[0] - 0.2


def test_features_that_hold_the_mark_alone_can_not_be_mended(case_of: CaseOf) -> None:
    with pytest.raises(Unavailable, match="does no better on the worse rows"):
        apply.apply(case_of(subject_of(Marked(informed=False)), n_classes=3, shortcuts=found()))


def test_keeps_the_contract(case_of: CaseOf) -> None:
    check_remedy(apply, lambda: case_of(subject_of(Marked(), 400), n_classes=3, shortcuts=found(400)))


def test_what_is_saved_is_the_module(case_of: CaseOf, tmp_path: Any) -> None:
    from uncork import load_treated

    treated = apply.apply(case_of(subject_of(Marked(), 400), n_classes=3, shortcuts=found(400)))
    model = as_model(treated.subject.model, "classification")
    x, _, _ = rows_of(50, 4, TOLD)
    expected = model.outputs(x).logits
    save_treated(tmp_path, treated.subject, model, ["retrain-last-layer"])
    np.testing.assert_array_equal(load_treated(tmp_path, Marked).inner.outputs(x).logits, expected)


@pytest.mark.parametrize("kind", ["regression", "wrapped", "estimator", "one output"])
def test_what_has_no_such_layer(case_of: CaseOf, kind: str) -> None:
    from sklearn.linear_model import LogisticRegression

    subject, task, why = subject_of(Marked(), 200), "classification", "only a torch module"
    x, y, _ = rows_of(200, 5, TOLD)
    if kind == "regression":
        task, why = "regression", "a regression has none"
    elif kind == "wrapped":
        inner = as_model(Marked(), "classification")
        inner.outputs(x)
        subject, why = subject.replace(model=Tempered(inner, 2.0)), "which training again would undo"
    elif kind == "estimator":
        subject = subject.replace(model=LogisticRegression().fit(x, y))
    else:
        split = Split(x, (y > 0).astype(int))
        subject, why = subject.replace(model=nn.Linear(3, 1), train=split, validation=split), "one output"
    with pytest.raises(Unavailable, match=why):
        apply.apply(case_of(subject, task=task, n_classes=3))
