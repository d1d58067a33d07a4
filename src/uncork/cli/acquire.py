"""`uncork acquire`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Address, Backend, Quiet, Seed, progress


def acquire(
    subject: Annotated[str, typer.Argument(help="path/to/file.py:name or package.module:name, with unlabelled rows.")],
    n: Annotated[int, typer.Option(help="How many rows can be labelled.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to write rank and id of each, as CSV.")],
    strategy: Annotated[
        str,
        typer.Option(
            metavar="auto|random|margin|typical|badge",
            help="auto: the one that surely beats random rows, else random; tried on train, which takes 25 trainings.",
        ),
    ] = "auto",
    seed: Seed = 0,
    backend: Backend = "loky",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Which unlabelled rows to label next?"""
    import csv
    import io
    from pathlib import Path

    from uncork import acquire as run
    from uncork.gather.store import write_atomically
    from uncork.report.numbers import quantity
    from uncork.run.source import load_subject

    found = run(
        load_subject(subject), n, strategy, seed=seed, backend=backend, address=address, progress=progress(quiet)
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("rank", "id"), *enumerate(found.ids, start=1)])
    write_atomically(Path(out), text.getvalue())
    if quiet:
        return
    for name, gain in found.gains.items():
        typer.echo(f"{name}, gain over random rows as tried on train: {quantity(gain)}")
    typer.echo(f"{len(found.ids)} rows, ranked by {found.strategy}: {out}")
