"""export: the same net by onnxruntime, saved and loaded with the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Split, Subject, load_treated
from uncork.models.adapt import adapt
from uncork.models.onnx_model import OnnxModel
from uncork.models.temperature import Tempered
from uncork.remedies import export
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
CaseOf = Callable[..., Any]


def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    return Subject(net, validation=Split(x, np.arange(90) % 3), test=None, preprocess=doubled)


@pytest.mark.slow
def test_keeps_the_contract(case_of: CaseOf, subject: Subject) -> None:
    check_remedy(export.apply, lambda: case_of(subject, n_classes=3))


@pytest.mark.slow
def test_the_file_says_the_same_and_loads_again(case_of: CaseOf, subject: Subject, tmp_path: Path) -> None:
    treated = export.apply.apply(case_of(subject, n_classes=3))
    model = treated.subject.model
    x = subject.validation.take(np.arange(90))
    own = adapt(subject, "classification").outputs(x).logits
    assert isinstance(model, OnnxModel)
    assert np.abs(model.outputs(x).logits - own).max() < 1e-5
    save_treated(tmp_path, subject, model, ["run by onnxruntime"])
    again = load_treated(tmp_path, preprocess=doubled)
    assert np.array_equal(again.outputs(x).logits, model.outputs(x).logits)
    assert (export.apply.yardstick, export.apply.saves) == ("tolerance", "latency")


def test_what_is_no_bare_module_is_left_alone(case_of: CaseOf, subject: Subject) -> None:
    inner = adapt(subject, "classification")
    with pytest.raises(Unavailable, match="something around it that was fitted to it"):
        export.apply.apply(case_of(subject.replace(model=Tempered(inner, 2.0)), n_classes=3))
