"""A report's findings by id, as a table, and after a round trip."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys

import pandas as pd
import pytest

from uncork import Report
from uncork.schema.errors import MissingExtra
from uncork.schema.finding import Detail, Estimate, Finding, Verdict
from uncork.schema.report import Headline

DETAILS = (Detail("table", "Flagged rows", {"columns": ["row"], "rows": [[17]]}),)
FINDINGS = (
    Finding(
        "wrong-labels",
        "defect",
        "quality",
        "T",
        "bottleneck",
        Estimate(21, 9, 33, "errors", 1250, "t"),
        details=DETAILS,
    ),
    Finding("overfitting", "defect", "quality", "T", "undetermined", Estimate(None, 0, None, "errors", 900, "bound")),
    Finding("rare-classes", "defect", "quality", "T", "not-run", reason="needs 6 min more"),
)
REPORT = Report(subject={}, headline=Headline("error", 1.0, 0.0, 2.0, 9), principal=(), findings=FINDINGS)


def test_findings_go_by_id_and_stay_a_tuple() -> None:
    assert REPORT.findings["wrong-labels"].details == DETAILS
    assert REPORT.finding("rare-classes") is REPORT.findings[2] is REPORT.findings[-1]
    assert REPORT.findings == FINDINGS
    assert REPORT.findings[:2] == FINDINGS[:2]
    assert [f.id for f in REPORT.findings] == ["wrong-labels", "overfitting", "rare-classes"]
    assert "overfitting" in REPORT.findings
    assert "shift" not in REPORT.findings
    assert FINDINGS[0] in REPORT.findings
    for look in (REPORT.findings.__getitem__, REPORT.finding):
        with pytest.raises(
            KeyError, match="no finding 'shift': this report has wrong-labels, overfitting, rare-classes"
        ):
            look("shift")


def test_findings_go_by_id_after_every_copy() -> None:
    copies = [
        Report.from_json(REPORT.to_json()),
        dataclasses.replace(REPORT, findings=FINDINGS[:2]),
        copy.deepcopy(REPORT),
        pickle.loads(pickle.dumps(REPORT)),
    ]
    for report in copies:
        assert report.findings["overfitting"] == FINDINGS[1]
    assert copies[0] == REPORT


@pytest.mark.parametrize(
    ("verdict", "ok"),
    [
        ("clear", True),
        ("bottleneck", False),
        ("undetermined", False),
        ("not-applicable", False),
        ("not-run", False),
        ("error", False),
    ],
)
def test_only_what_is_shown_clear_is_ok(verdict: Verdict, ok: bool) -> None:
    assert Finding("x", "gate", "quality", "T", verdict).ok is ok


def test_a_frame_has_a_row_for_each_finding() -> None:
    frame = REPORT.to_frame()
    assert list(frame) == ["id", "tier", "column", "verdict", "value", "low", "high", "unit", "n", "reason"]
    assert frame.loc[0].tolist() == ["wrong-labels", "defect", "quality", "bottleneck", 21, 9, 33, "errors", 1250, ""]
    assert frame["value"].isna().tolist() == [False, True, True]
    assert frame["n"].isna().tolist() == [False, False, True]
    assert frame.loc[2, "reason"] == "needs 6 min more"
    assert (frame.dtypes["low"], frame.dtypes["n"]) == ("float64", "Int64")
    empty = dataclasses.replace(REPORT, findings=()).to_frame()
    assert (len(empty), list(empty)) == (0, list(frame))
    assert isinstance(frame, pd.DataFrame)


def test_a_frame_takes_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"report\.to_frame\(\) needs an extra: pip install 'uncork\[tabular\]'"):
        REPORT.to_frame()
