"""Strangers from the subject to the report: refused where they don't fit, part of what a run is of, and treated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from uncork import Split, Subject, audit, load_treated, treat
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.errors import BadInput

MEANS = 4 * np.eye(3, 4)


def clusters(n: int, seed: int, far: float = 1.0) -> Split:
    """Three Gaussians about 4 on an axis each, or as many times farther out."""
    y = np.arange(n) % 3
    return Split((far * MEANS[y] + np.random.default_rng(seed).normal(size=(n, 4))).astype(np.float32), y)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3))


def subject(**changes: Any) -> Subject:
    """The best classifier of these clusters, the surer the farther out."""
    net = build()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(MEANS))
        net[0].bias.fill_(-8.0)
    given: dict[str, Any] = {
        "train": clusters(600, 1),
        "validation": clusters(1200, 2),
        "test": clusters(800, 3),
        "strangers": Split(clusters(600, 4, far=4.0).take(np.arange(600))),
    }
    return Subject(net, **{**given, **changes})


@pytest.mark.parametrize(
    ("strangers", "told"),
    [
        (np.zeros((9, 4)), "wrap it, strangers=Split"),
        (Split(np.zeros((9, 5), np.float32)), r"rows of shape \(5,\), but test.x has rows of shape \(4,\)"),
        (Split(["a", "b"]), "text, but test.x has rows"),
        (Split(pd.DataFrame(np.zeros((9, 4)))), "the columns 0, 1, 2, 3, but"),
    ],
)
def test_strangers_of_another_form_are_refused(strangers: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        admit(subject(strangers=strangers), describe_only=False, seed=0, fan=Executor())


def test_the_models_own_rows_are_no_strangers() -> None:
    own = clusters(800, 3)
    with pytest.raises(BadInput, match="own splits"):
        admit(subject(test=own, strangers=own), describe_only=False, seed=0, fan=Executor())


def test_a_sure_strangers_run_is_treated_and_proven(tmp_path: Path) -> None:
    """The model is surer of rows four times as far out than of its own, and its features tell them."""
    probes, out = ["unrecognised-inputs"], tmp_path / "run"
    report = audit(subject(), probes=probes, out=out)
    (finding,) = report.findings
    assert finding.verdict == "bottleneck"
    assert finding.estimates["unrecognised"].value > 0.99
    assert finding.estimates["reject_gain"].low > 0.9
    with pytest.raises(BadInput):  # other strangers, another run
        audit(subject(strangers=Split(np.ones((600, 4), np.float32))), probes=probes, out=out)

    report = treat(out, remedies=["reject"], subject=subject())
    (treatment,) = report.treatments
    assert treatment.kept
    assert treatment.verdict == "helps"
    assert treatment.realised.low > 0.9
    assert treatment.against_control.low > 0.8
    loaded = load_treated(out, build=build)
    assert not loaded.outputs(clusters(300, 9, far=4.0).take(np.arange(300))).answered.any()
    assert loaded.outputs(clusters(300, 9).take(np.arange(300))).answered.mean() > 0.9
