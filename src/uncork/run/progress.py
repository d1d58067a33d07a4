"""What is running, and how long the rest may take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol


class Progress(Protocol):
    """Told of each piece of work. `left`: seconds that the rest of the plan was priced at, this piece included."""

    def begin(self, label: str, left: float) -> None: ...

    def end(self, label: str, seconds: float) -> None: ...


class Silent:
    """Says nothing."""

    def begin(self, label: str, left: float) -> None:
        pass

    def end(self, label: str, seconds: float) -> None:
        pass


@contextlib.contextmanager
def working(progress: Progress, label: str, left: float) -> Iterator[None]:
    """One piece of work, announced and timed."""
    start = time.perf_counter()
    progress.begin(label, left)
    try:
        yield
    finally:
        progress.end(label, time.perf_counter() - start)


def duration(text: str | float) -> float:
    """Seconds of "90s", "10m", "2h" or a number. Raises BadInput for anything else."""
    from uncork.schema.errors import BadInput

    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        if isinstance(text, str) and text.strip()[-1:] in units:
            seconds = float(text.strip()[:-1]) * units[text.strip()[-1]]
        else:
            seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise BadInput(f"budget {text!r} is no length of time: write it like 90s, 10m or 2h")
    return seconds
