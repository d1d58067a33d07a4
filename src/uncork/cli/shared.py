"""What commands share: options, progress, and the summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uncork.run.progress import Progress
    from uncork.schema.report import Report

Budget = Annotated[str, typer.Option(help="Time to spend, such as 90s, 10m or 2h.")]
Out = Annotated[str | None, typer.Option(help="The run folder. Default: runs/NAME.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Backend = Annotated[
    str, typer.Option(metavar="loky|dask|ray", help="Where retraining runs: processes of this machine, or a cluster.")
]
Address = Annotated[
    str | None, typer.Option(help="The scheduler of a dask or ray cluster. Default: one on this machine, for the run.")
]
Seed = Annotated[int, typer.Option(help="The root of everything random.")]


def listed(text: str | None) -> list[str] | None:
    """`a,b` as a list; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def remaining(left: float) -> str:
    """How long the rest may take, where that is worth saying."""
    if left < 2:
        return ""
    return f" about {left:.0f} s left" if left < 120 else f" about {left / 60:.0f} min left"


class Lines:
    """Progress as plain lines, for files and pipes."""

    def begin(self, label: str, left: float) -> None:
        sys.stderr.write(f"{label} …{remaining(left)}\n")
        sys.stderr.flush()

    def end(self, label: str, seconds: float) -> None:
        pass


class Spinner:
    """Progress as one line that changes."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._status = self._console.status("")

    def begin(self, label: str, left: float) -> None:
        from rich.text import Text

        self._status.update(Text(f"{label} …{remaining(left)}"))
        self._status.start()

    def end(self, label: str, seconds: float) -> None:
        self._status.stop()


def progress(quiet: bool) -> Progress:
    from uncork.run.progress import Silent

    if quiet:
        return Silent()
    return Spinner() if sys.stderr.isatty() else Lines()


def show(report: Report, quiet: bool) -> None:
    """The summary on the terminal."""
    if quiet:
        return
    from rich.console import Console

    from uncork.report.terminal import render

    render(report, Console())
