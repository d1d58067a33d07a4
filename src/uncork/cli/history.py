"""`uncork history`."""

from __future__ import annotations

from typing import Annotated

import typer


def history(
    folder: Annotated[str, typer.Argument(help="A folder of runs; or a run, with another after it.")] = "runs",
    other: Annotated[str | None, typer.Argument(help="A later run: what changed from the first to it.")] = None,
) -> None:
    """The runs in a folder over time, or what changed between two."""
    from rich.console import Console

    from uncork.report import history as shown
    from uncork.run.history import changed, runs

    if other is None:
        shown.render(runs(folder), Console())
    else:
        shown.render_change(changed(folder, other), Console())
