"""Every opening of every test split, whatever the run folder.

A test split proves less each time it is asked. The ledger knows a split by the hash of its rows and counts the
questions asked of it; asking the very same question again is no new opening.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from uncork.gather.store import explained
from uncork.schema.errors import BadInput

ELSEWHERE = "set UNCORK_STATE to a folder that can be, for the record of openings of test"


def path() -> Path:
    """`$UNCORK_STATE`, else `$XDG_STATE_HOME/uncork`, else `~/.local/state/uncork`; the file `openings.jsonl` in it."""
    state = os.environ.get("UNCORK_STATE")
    home = Path(state) if state else Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state")) / "uncork"
    return home / "openings.jsonl"


def open_test(rows: str, question: str) -> int:
    """Records that `question` is put to the test split `rows`, before it is; returns which opening (1, 2, …) it is."""
    with _locked() as file:
        asked: list[str] = []
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
                of, put = entry["rows"], entry["question"]
            except (ValueError, KeyError, TypeError):
                raise BadInput(
                    f"line {number} of {path()} is damaged: it counts the openings of test splits; mend the line, or "
                    "move the file away if you accept that openings start from 1 again"
                ) from None
            if of == rows and put not in asked:
                asked.append(put)
        if question in asked:
            return asked.index(question) + 1
        with explained(path(), ELSEWHERE):
            _append(file.fileno(), json.dumps({"rows": rows, "question": question}) + "\n")
        return len(asked) + 1


def _append(file: int, line: str) -> None:
    """Adds a line, whole or not at all."""
    before = os.fstat(file).st_size
    try:
        if os.write(file, line.encode()) < len(line.encode()):
            raise OSError(errno.ENOSPC, "no room for a whole line")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, before)
        raise


@contextlib.contextmanager
def _locked() -> Iterator[IO[str]]:
    place = path()
    with explained(place, ELSEWHERE):
        place.parent.mkdir(parents=True, exist_ok=True)
        file = open(place, "a+")  # noqa: SIM115 (closed below, outside `explained`)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file
    finally:
        file.close()
