"""`uncork patch`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet, listed

SAID = {
    "success": "of the rows named, decided as asked",
    "near_unpatched": "of near copies of the mistakes, decided right before",
    "near": "of near copies of the mistakes, decided right now",
    "retained": "of near copies that the first ten mend, mended with all",
    "locality": "of other rows, answered as before, bit for bit",
    "broken": "of 1,000 other rows, right before and wrong now",
    "repaired": "of 1,000 other rows, wrong before and right now",
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
        typer.Option(metavar="train|validation", help="The split that ids are of, where they stand in several."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The folder of the patched model, new or patched before. Default: RUN/patched.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Correct named mistakes without training, and say how that holds."""
    from uncork import patch as apply
    from uncork.report.numbers import interval, quantity

    found = apply(
        run, corrections, revert=[revert] if (revert or "").startswith("if ") else listed(revert) or (), on=on, out=out
    )
    if quiet:
        return
    for name in (name for name in SAID if name in found.estimates):
        typer.echo(f"{SAID[name]}: {interval(found.estimates[name])}")
    for rule in (name for name in found.estimates if name not in SAID):
        typer.echo(f"{rule}: {quantity(found.estimates[rule])}")
    for keys, said in (
        (found.left_out, "left out, as the model can't tell them from rows that are right"),
        (found.already, "decided so already"),
    ):
        if keys:
            typer.echo(f"{len(keys)} {said}: {', '.join(keys[:10])}{', …' if len(keys) > 10 else ''}")
    for note in found.notes:
        typer.echo(note)
    made = "no correction" if not found.corrected else f"corrections: {len(found.corrected)}"
    typer.echo(f"{made}; the model: load_treated({found.folder!r})")
