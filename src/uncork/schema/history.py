"""What `uncork history` finds: runs over time, and what changed between two."""

from __future__ import annotations

from dataclasses import dataclass, field

from uncork.schema.comparison import Comparison
from uncork.schema.finding import Finding
from uncork.schema.report import Report


@dataclass(frozen=True)
class Run:
    """One run folder.

    `when`: its last audit, ISO 8601 in local time, or "" where plan.json is lost. `rows`: what its test rows are known
    by, "" of predictions, which don't tell. `report`: None where it can't be read, for the `reason`.
    """

    name: str
    when: str = ""
    rows: str = ""
    report: Report | None = None
    reason: str = ""


@dataclass(frozen=True)
class History:
    """The runs under one folder, the earliest first."""

    folder: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Change:
    """What changed from run `a` to run `b`.

    `findings`: before and after, of each whose verdict is another; None on the side that lacks it. `comparison`: of
    the models, paired on validation; None where they can't be, for the `reason`.
    """

    a: Run
    b: Run
    findings: tuple[tuple[Finding | None, Finding | None], ...] = field(default=())
    comparison: Comparison | None = None
    reason: str = ""
