"""The page of privacy: a line for each budget, and what no attack exceeds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import privacy
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.train.private import Private, Spent


def test_no_attack_on_a_gaussian_mechanism_finds_more() -> None:
    """The best test of N(0, 1) against N(1/σ, 1) at 1 % false alarms, at every (ε, δ) that the mechanism has."""
    for noise in (0.5, 1.0, 3.0):
        power = stats.norm.sf(stats.norm.isf(0.01) - 1 / noise)
        for epsilon in (0.1, 1.0, 4.0):
            spent = stats.norm.cdf(1 / (2 * noise) - epsilon * noise)
            delta = spent - np.exp(epsilon) * stats.norm.cdf(-1 / (2 * noise) - epsilon * noise)
            assert power <= privacy.most_found(epsilon, delta) + 1e-12
    assert privacy.most_found(0.0, 0.0) == pytest.approx(0.01)


def test_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passed = PassData.of_logits(np.eye(2)[[0, 1, 1]], np.array([0, 1, 0]))
    share = Estimate(0.125, 0.1, 0.15, "", 700, "t", 0.01)
    monkeypatch.setattr(privacy, "leaked", lambda recipe: {"tpr": share, "auc": share})
    monkeypatch.setattr(privacy, "trained", lambda recipe: [passed, passed])
    monkeypatch.setattr(Private, "spent", lambda private, rows: Spent(private.epsilon, 1e-4, 1.0, 0.1, 30, 1.0))
    monkeypatch.setattr(privacy, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["privacy.py"])
    privacy.main()
    lines = [line for line in (tmp_path / "privacy.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 1 + len(privacy.BUDGETS)
    assert lines[2] == "| none | | 0.125 (0.100 to 0.150) | 1 | 0.125 (0.100 to 0.150) | 333.3 | |"
    assert {line.count("|") for line in lines} == {8}
