"""`uncork patch`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet, listed

SAID = {
    "success": "rows named that are decided as asked",
    "near_unpatched": "near copies of mistakes decided right, unpatched",
    "near": "near copies of mistakes decided right, patched",
    "retained": "near copies mended by the first ten alone, still mended with all",
    "locality": "other rows with the same numbers, bit for bit",
    "broken": "right before, wrong now",
    "repaired": "wrong before, right now",
}


def patch(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    corrections: Annotated[
        str | None,
        typer.Argument(
            help="A CSV or Parquet table with columns id and label: what rows really are. Where x is a table, an id "
            "may be a rule too: if age > 30 and job == admin."
        ),
    ] = None,
    revert: Annotated[
        str | None, typer.Option(metavar="ID,...", help="Take these corrections back; of one rule alone, its text.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="train|validation|test", help="The split that ids are of, where they stand in several."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The folder of the patched model, new or patched before. Default: RUN/patched.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Correct named mistakes without training, and say how that holds."""
    from uncork import patch as apply
    from uncork.report.numbers import quantity

    found = apply(
        run, corrections, revert=[revert] if (revert or "").startswith("if ") else listed(revert) or (), on=on, out=out
    )
    if quiet:
        return
    for name, estimate in found.estimates.items():
        typer.echo(f"{SAID.get(name, name)}: {quantity(estimate)}")
    for keys, said in (
        (found.left_out, "left out, as the model can't tell them from rows that are right"),
        (found.already, "decided so already"),
    ):
        if keys:
            typer.echo(f"{len(keys)} {said}: {', '.join(keys[:10])}{', …' if len(keys) > 10 else ''}")
    for note in found.notes:
        typer.echo(note)
    typer.echo(f"{len(found.corrected)} corrections: load_treated({found.folder!r})")
