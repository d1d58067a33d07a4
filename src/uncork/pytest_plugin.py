"""A pytest fixture, found by pytest where uncork is installed; nothing of uncork is imported before it is used.

def test_model(audit):
    assert audit(subject).finding("miscalibration").ok
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from uncork.schema.report import Report


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """`audit(subject, budget="60s", **options) -> Report`, as of `uncork.audit`, into a temporary folder.

    `subject`: a Subject, or path/to/file.py:name of one. A subject that was audited with the same options is not
    audited again in this session. What was found is printed, which pytest shows where a test fails.
    """
    made: list[tuple[Any, dict[str, Any], Report]] = []

    def run(subject: Any, *, budget: str | float = "60s", **options: Any) -> Report:
        wanted = {"budget": budget, **options}
        report = next((r for of, how, r in made if (of is subject or of == subject) and how == wanted), None)
        if report is None:
            import uncork
            from uncork.run.source import load_subject

            given = load_subject(subject) if isinstance(subject, str) else subject
            report = uncork.audit(given, **{"out": tmp_path_factory.mktemp("uncork") / "run", **wanted})
            made.append((subject, wanted, report))
        sys.stdout.write(summary(report))
        return report

    return run


def summary(report: Report) -> str:
    """The headline, and a line for each finding: id, verdict, and its figure or why there is none."""
    from uncork.report import words
    from uncork.report.numbers import clean, quantity

    lines = [words.opening(report)[0]]
    for f in report.findings:
        figures = [quantity(f.headroom)] * (f.headroom is not None) + [words.judged(f)] * (f.against is not None)
        about = [f.reason] if f.verdict in words.NOT_MEASURED else figures or [f.summary]
        lines.append("; ".join((f"{f.id}: {words.verdict_of(f)}", *about)))
    return "".join(f"{clean(line)}\n" for line in lines)
