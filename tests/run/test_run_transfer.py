"""From an audit to a proven treatment: a planted backbone is found, swapped in, saved, and labels are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import Split, Subject, audit, load_treated, treat

X = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


class Products(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, :, None] * x[:, None, :]).flatten(1)


def line(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_planted_backbone_from_audit_to_proof(tmp_path: Path) -> None:
    cuts = {"train": slice(500), "validation": slice(500, 1500), "test": slice(1500, 2500)}
    splits = {name: Split(X[rows], Y[rows]) for name, rows in cuts.items()}
    subject = Subject(
        line(splits["train"], 0),
        **splits,
        recipe=line,
        backbones={"products": Products()},
        unlabelled=Split(X[2500:]),
    )
    probes = ["poor-transfer", "label-cost", "unused-unlabelled"]
    report = audit(subject, probes=probes, out=tmp_path / "run", budget="5m")
    findings = {finding.id: finding for finding in report.findings}
    assert findings["poor-transfer"].verdict == "bottleneck"
    # A line can't learn a product: neither labels that are chosen nor rows without them help it.
    assert findings["label-cost"].verdict in ("undetermined", "clear")
    assert findings["unused-unlabelled"].verdict == "not-applicable"
    treated = treat(report, remedies=["swap-backbone"], budget="5m")
    (treatment,) = treated.treatments
    assert (treatment.verdict, treatment.kept, treatment.stage) == ("helps", True, "test")
    assert treatment.realised.low > 300
    assert treatment.predicted.low < treatment.on_validation.value < treatment.predicted.high
    again = load_treated(tmp_path / "run", build=Products)
    assert np.mean(again.predict(X[2500:]) == Y[2500:]) > 0.85
