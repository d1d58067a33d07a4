"""examples/breast_cancer.py runs as its docstring says, and its figures are scikit-learn's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import zero_one_loss

from uncork.cli.app import main
from uncork.run.source import load_subject
from uncork.schema.subject import SPLITS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "breast_cancer.py"
QUICK = "leaked-examples,miscalibration,overfitting,rare-classes,unguaranteed-errors"


def uncork(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert not stopped.value.code


def headline_is(report: dict, wrong: int, n: int) -> None:
    """The share of errors per 1,000 with scipy's exact interval."""
    exact = binomtest(wrong, n).proportion_ci(method="exact")
    assert report["headline"]["n"] == n
    assert report["headline"]["value"] == pytest.approx(1000 * wrong / n)
    assert report["headline"]["low"] == pytest.approx(1000 * exact.low)
    assert report["headline"]["high"] == pytest.approx(1000 * exact.high)


@pytest.mark.slow
def test_net_audited_and_treated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mlp"
    uncork("audit", f"{EXAMPLE}:mlp", "--out", str(out))
    subject = load_subject(f"{EXAMPLE}:mlp")
    logits = subject.model(subject.preprocess(torch.from_numpy(subject.test.take(np.arange(170))))).detach().numpy()
    report = json.loads((out / "report.json").read_text())
    headline_is(report, int((logits.argmax(axis=1) != subject.test.y).sum()), 170)
    told = ("bottleneck", "undetermined", "clear")
    silent = {"adversarial-fragility", "domain-shift"}  # no threat is declared, and no shifted rows are given
    assert {f["id"] for f in report["findings"] if f["verdict"] not in told} == silent

    uncork("treat", str(out))
    treatments = json.loads((out / "report.json").read_text())["treatments"]
    assert "temperature" in {t["remedy"] for t in treatments}
    told = [t["reason"] for t in treatments if t["verdict"] == "not-applicable"]
    assert all("give" in reason or "lowers the loss" in reason or "nothing to" in reason for reason in told), told
    assert "mlp" in capsys.readouterr().out


def test_boosting_on_the_same_rows(tmp_path: Path) -> None:
    out = tmp_path / "boosting"
    uncork("audit", f"{EXAMPLE}:boosting", "--probes", QUICK, "--out", str(out))
    subject = load_subject(f"{EXAMPLE}:boosting")
    predicted = subject.model.predict(subject.test.take(np.arange(170)))
    report = json.loads((out / "report.json").read_text())
    headline_is(report, int(zero_one_loss(subject.test.y, predicted, normalize=False)), 170)
    assert report["subject"]["classes"] == ["malignant", "benign"]


@pytest.mark.slow
def test_both_subjects_share_rows_that_no_split_repeats() -> None:
    subjects = [load_subject(f"{EXAMPLE}:{name}") for name in ("mlp", "boosting")]
    rows = [np.concatenate([getattr(s, n).take(np.arange(len(getattr(s, n)))) for n in SPLITS]) for s in subjects]
    assert np.array_equal(*rows)
    assert len(np.unique(rows[0], axis=0)) == len(rows[0]) == 569


def test_scale_is_that_of_train_alone() -> None:
    subject = load_subject(f"{EXAMPLE}:mlp")
    train = subject.preprocess(torch.from_numpy(subject.train.take(np.arange(229)))).numpy()
    assert np.abs(train.mean(axis=0)).max() < 1e-4
    assert np.allclose(train.std(axis=0), 1, atol=1e-4)


def test_training_again_gives_the_same_net() -> None:
    """`uncork treat` makes the subject again from its source, and refuses another one."""
    first, second = (load_subject(f"{EXAMPLE}:mlp").model.state_dict() for _ in range(2))
    assert all(bool((first[name] == second[name]).all()) for name in first)
