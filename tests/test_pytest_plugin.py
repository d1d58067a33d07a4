"""The fixture `audit`: in a session of pytest of its own, with the plugin named or found."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from uncork.run import audit as audits
from uncork.run import source
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Headline, Report

pytest_plugins = ["pytester"]

FAKED = """
subject = ["any object"]

def test_clear(audit):
    assert audit(subject).finding("overfitting").ok
    assert audit(subject) is audit(subject, budget="60s")
    assert audit(subject, seed=1) is not audit(subject)
    assert audit(["any object"], out="mine") is not audit(subject)

def test_bottleneck(audit):
    assert audit(subject).finding("miscalibration").ok
"""

SUBJECTS = """
import numpy as np
from uncork import Predictions, Split, Subject

y = np.random.default_rng(0).integers(2, size=1200)
wrong = np.random.default_rng(1).random(1200) < 0.3

def saying(right):
    p = np.where(np.eye(2)[np.where(wrong, 1 - y, y)] == 1, right, 1 - right)
    return Subject(Predictions(), test=Split(p[:600], y[:600]), validation=Split(p[600:], y[600:]), name="coin")

honest, boastful = saying(0.7), saying(0.99)
"""

REAL = """
from subjects import boastful, honest

def test_honest(audit):
    assert audit(honest, probes=["miscalibration"]).findings["miscalibration"].verdict != "bottleneck"

def test_boastful(audit):
    assert audit(boastful, probes=["miscalibration"]).findings["miscalibration"].verdict == "bottleneck"

def test_address(audit):
    report = audit("subjects.py:honest", budget="30s", probes=["miscalibration"])
    assert report.subject["name"] == "coin"
    assert report is audit("subjects.py:honest", budget="30s", probes=["miscalibration"])
"""


def test_a_subject_is_audited_once_and_a_failure_says_what_was_found(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def audit(subject: Any, **options: Any) -> Report:
        asked.append(options)
        gain = Estimate(61, 47, 75, "predictions per 1,000", 1250, "binomial")
        found = (
            Finding("overfitting", "defect", "quality", "T", "clear"),
            Finding("miscalibration", "defect", "trust", "T", "bottleneck", gain),
            Finding("wrong-labels", "defect", "quality", "T", "not-run", reason="needs 6 min more"),
        )
        return Report({}, Headline("error", 83.0, 70.0, 97.0, 1250, "errors per 1,000"), (), found)

    assert source  # imported before: what the session in this process imports is forgotten when it ends
    monkeypatch.setattr(audits, "audit", audit)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(FAKED)
    result = pytester.runpytest_inprocess("-p", "uncork.pytest_plugin")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "Of 1,000 predictions 83 are wrong (95 % interval 70 to 97; 1,250 test rows).",
            "overfitting: clear*",
            "miscalibration: bottleneck; 61 (47 to 75) predictions per 1,000",
            "wrong-labels: not run; needs 6 min more",
        ]
    )
    assert [{**options, "out": None} for options in asked] == [
        {"budget": "60s", "out": None},
        {"budget": "60s", "out": None, "seed": 1},
        {"budget": "60s", "out": None},
    ]
    assert asked[2]["out"] == "mine"
    assert len({str(options["out"]) for options in asked}) == 3


@pytest.mark.slow
def test_models_are_audited(pytester: pytest.Pytester) -> None:
    """Of one that is right 70 % of the time: 70 % is not too much to say, and 99 % is."""
    pytester.makepyfile(subjects=SUBJECTS)
    pytester.makepyfile(REAL)
    pytester.runpytest_subprocess("-p", "uncork.pytest_plugin").assert_outcomes(passed=3)
    assert not list(pytester.path.glob("runs"))


def test_pytest_finds_it() -> None:
    """By the entry point, whose name is the module's so that `-p` finds it loaded already."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"uncork.pytest_plugin": "uncork.pytest_plugin"}


def test_pytest_starts_without_torch() -> None:
    light = "import sys, uncork.pytest_plugin; assert not {'torch', 'numpy', 'sklearn', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], check=False).returncode == 0
