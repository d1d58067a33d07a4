"""`uncork check`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet


def check(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    assertions: Annotated[
        str,
        typer.Option(
            "--assert",
            metavar="FILE",
            help='A TOML file: assert = ["headline.high <= 0.08", "principal == none"], not-worse-than = "runs/main".',
        ),
    ] = "uncork.toml",
    junit: Annotated[str | None, typer.Option(metavar="FILE", help="Write JUnit XML there, too.")] = None,
    markdown: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a table for a pull request there, too.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """A gate for CI: exit code 1 where an assertion on the report does not hold.

    FIGURE.high <= LIMIT or FIGURE.low >= LIMIT, of headline, ID.headroom or ID.ESTIMATE, where LIMIT is 0.08, 8 % or
    80 per 1,000; FIGURE.n >= 1000; ID.verdict == clear; principal == none. What was not measured does not hold.
    """
    from pathlib import Path

    from rich.console import Console

    from uncork.gather.store import write_atomically
    from uncork.report import checked
    from uncork.run.check import check as judge

    found = judge(run, assertions)
    for path, text in ((junit, checked.junit), (markdown, checked.markdown)):
        if path is not None:
            write_atomically(Path(path), text(found))
    if not quiet:
        checked.render(found, Console())
    if not found.holds:
        raise typer.Exit(1)
