"""`uncork demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Budget, Out, Quiet, Seed, progress, show


def demo(
    plant: Annotated[
        str | None,
        typer.Option(help="A fault to plant: wrong-labels, leaked-examples, miscalibration, lr-times-30, narrow-net."),
    ] = None,
    budget: Budget = "10m",
    out: Out = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Audit and treat a small net on handwritten digits: a real run, in about a minute."""
    from uncork import audit, treat
    from uncork.planted.subjects import planted
    from uncork.run.progress import working

    tell = progress(quiet)
    with working(tell, "training a small net on 1,000 handwritten digits", 60):
        subject = planted(plant, seed=seed)
    source = {"kind": "demo", "plant": plant, "seed": seed}
    audited = audit(subject, budget=budget, out=out, seed=seed, source=source, progress=tell)
    show(treat(audited, budget=budget, progress=tell), quiet)
