"""What a page shows beside its report: manuals of probes and remedies, rows as they look, files to download."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from uncork.derived.confidence import probabilities
from uncork.gather._contract import Context
from uncork.gather.store import write_atomically
from uncork.probes._contract import registered
from uncork.remedies._contract import remedies
from uncork.run.nearby import picture, shown
from uncork.run.suspects import NAME as SUSPECTS
from uncork.schema.artifacts import PassData
from uncork.schema.beside import Beside, Cases, Mistake, sections
from uncork.schema.case import Shown
from uncork.schema.finding import Finding

NAME = "rows.json"
#: Rows of one table, and pixels of a picture's side, that are kept: the page has to stay small enough to mail.
LISTED, SIDE = 24, 64
LARGEST = 500_000
_PAIRED = ["split", "row", "row of train"]


def beside(folder: Path) -> Beside:
    """Of a run folder. What is missing there, or damaged, the page is made without."""
    try:
        cases = Cases.from_json((folder / NAME).read_text())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        cases = Cases()
    suspects = folder / SUSPECTS
    small = suspects.exists() and suspects.stat().st_size <= LARGEST
    return Beside(
        probes={probe.id: sections(probe.doc) for probe in registered().values()},
        remedies={remedy.id: sections(remedy.doc) for remedy in remedies().values()},
        cases=cases,
        files={SUSPECTS: suspects.read_text()} if small else {},
    )


def write_cases(folder: Path, context: Context, findings: Sequence[Finding], passed: PassData | None) -> None:
    """Writes `rows.json`: the rows that findings name, and the surest mistakes of validation. `passed`: its Pass."""
    wrong = _mistakes(context, passed)
    wanted = [("validation", m.row) for m in wrong]
    for finding in findings:
        wanted += _named(finding)
    at: dict[str, list[int]] = {}
    for split, row in dict.fromkeys(wanted):
        if getattr(context.subject, split, None) is not None and row < len(context.split(split)):
            at.setdefault(split, []).append(row)
    rows = {split: _looks(context, split, np.array(sorted(there))) for split, there in at.items()}
    write_atomically(folder / NAME, Cases(rows, wrong).to_json())


def _named(finding: Finding) -> Iterable[tuple[str, int]]:
    """(split, position) of the rows that the evidence lists."""
    for detail in finding.details:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # data of a third party's probe
            if detail.kind == "examples":
                yield from [(str(detail.data["split"]), int(row)) for row in detail.data["rows"][:LISTED]]
            elif detail.kind == "table" and detail.data["columns"][:3] == _PAIRED:
                for split, row, of_train, *_ in detail.data["rows"][: LISTED // 2]:
                    yield from ((str(split), int(row)), ("train", int(of_train)))


def _mistakes(context: Context, passed: PassData | None) -> tuple[Mistake, ...]:
    if passed is None or context.facts.task != "classification":
        return ()
    p = probabilities(passed).max(axis=1)
    wrong = np.flatnonzero((passed.predicted != passed.y) & passed.answered)
    surest = wrong[np.argsort(-p[wrong], kind="stable")][: LISTED // 2]
    name = context.facts.classes
    return tuple(
        Mistake(int(passed.rows[i]), name[int(passed.y[i])], name[int(passed.predicted[i])], round(float(p[i]), 4))
        for i in surest
    )


def _looks(context: Context, split: str, at: np.ndarray) -> dict[int, tuple[str, Shown]]:
    rows = context.split(split)
    ids = rows.ids[at]
    # Of predictions alone nothing else is known.
    looks = map(_small, shown(rows, at)) if context.facts.has_inputs else [Shown()] * len(at)
    return {int(i): (str(id), look) for i, id, look in zip(at, ids, looks, strict=True)}


def _small(look: Shown) -> Shown:
    """A picture of at most SIDE pixels a side: every so many are left out."""
    if look.picture is None:
        return look
    p = look.picture
    stride = -(-max(p.height, p.width) // SIDE)
    pixels = np.frombuffer(p.rgb, np.uint8).reshape(p.height, p.width, 3)
    return Shown(picture=picture(pixels[::stride, ::stride]))
