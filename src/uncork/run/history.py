"""The runs in a folder over time, and what changed between two."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from uncork.run.diff import diff
from uncork.run.folder import RunFolder
from uncork.schema.errors import BadInput
from uncork.schema.history import Change, History, Run


def runs(folder: str | Path) -> History:
    """Every run in `folder` or below it, by the time of its last audit; one that can't be read with the reason.

    Raises BadInput where there is no such folder, or no run in it.
    """
    place = Path(folder)
    if not place.is_dir():
        raise BadInput(f"there is no folder {folder}: give one that holds runs, such as runs")
    found = sorted(path.parent for path in place.rglob("subject.json"))
    if not found:
        raise BadInput(f"{folder} holds no run: give a folder that audits were written to, such as runs")
    read = [_read(path, str(path.relative_to(place)) if path != place else str(path)) for path in found]
    return History(str(folder), tuple(sorted(read, key=lambda run: (run.when, run.name))))


def _read(path: Path, name: str) -> Run:
    plan = path / "plan.json"  # written when an audit begins; report.json is also when it is shown again
    when = datetime.fromtimestamp(plan.stat().st_mtime).isoformat(" ", "minutes") if plan.exists() else ""
    try:
        folder = RunFolder.at(path)
        report, about = folder.load(), folder.about()["fingerprints"]
    except BadInput as e:
        return Run(name, when, reason=str(e))
    rows = str(about.get("test") or about.get("validation"))
    # Of predictions nothing in the folder tells their rows: they go by their number.
    return Run(name, when, "" if report.subject.get("predictions_only") else rows, report)


def changed(a: str | Path, b: str | Path) -> Change:
    """What changed from run folder `a` to `b`. Raises BadInput where one of them can't be read."""
    first, second = (_read(RunFolder.at(path).path, str(path)) for path in (a, b))
    if first.report is None or second.report is None:
        raise BadInput(first.reason or second.reason)
    before, after = ({f.id: f for f in report.findings} for report in (first.report, second.report))
    pairs = [(before.get(id), after.get(id)) for id in dict.fromkeys([*after, *before])]
    other = tuple((x, y) for x, y in pairs if x is None or y is None or x.verdict != y.verdict)
    try:
        return Change(first, second, other, diff(a, b))
    except BadInput as e:
        return Change(first, second, other, reason=str(e))
