"""`uncork explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet, progress


def explain(
    run: Annotated[str, typer.Argument(help="The folder of a run.")],
    row: Annotated[str, typer.Argument(help="Id of a row of validation or test, or its position.")],
    split: Annotated[
        str | None,
        typer.Option(metavar="validation|test", help="Where to look for the row. Default: validation, then test."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to write the page. Default: RUN/explain-SPLIT-ROW.html.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Everything known about one case, on one page."""
    import re
    from pathlib import Path

    from rich.console import Console

    from uncork import explain as explained
    from uncork.report.case import render

    case = explained(run, row, split=split, progress=progress(quiet))
    name = re.sub(r"[^\w.-]+", "_", case.id)[:80]
    path = case.save(out or Path(run) / f"explain-{case.split}-{name}.html")
    if not quiet:
        render(case, Console())
        typer.echo(f"the page: {path}")
