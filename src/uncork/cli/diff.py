"""`uncork diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet, listed


def diff(
    a: Annotated[
        str,
        typer.Argument(help="A run folder, path/to/file.py:name, or a table of predictions; s1.csv,s2.csv for seeds."),
    ],
    b: Annotated[str, typer.Argument(help="The same kind of thing, on the same rows.")],
    metric: Annotated[
        str | None,
        typer.Option(help="error, accuracy, log-loss, auc, rmse or mae. Default: the subjects'; else error."),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="validation|test",
            help="Rows to compare runs or subjects on; default validation. test opens test, and the ledger counts it.",
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column of labels in the tables.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="The columns of probabilities, a,b,c, or of predicted values.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="The column of row ids; without, rows stand in the same order.")
    ] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the comparison there, too.")] = None,
    quiet: Quiet = False,
) -> None:
    """Is B really better than A, and what would settle it?"""
    from pathlib import Path

    from rich.console import Console

    from uncork import diff as run
    from uncork.gather.store import write_atomically
    from uncork.report.comparison import render

    found = run(a, b, metric=metric, on=on, label=label, columns=listed(columns), id=id)
    if json is not None:
        write_atomically(Path(json), found.to_json())
    if not quiet:
        render(found, Console())
