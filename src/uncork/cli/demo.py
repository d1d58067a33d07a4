"""`uncork demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Budget, Out, Quiet, Seed, progress, show


def demo(
    plant: Annotated[
        str | None,
        typer.Option(help="A fault to plant, such as wrong-labels or lr-times-30; any other word lists them all."),
    ] = None,
    budget: Budget = "60s",
    out: Out = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Audit and treat a small net on handwritten digits: a real run, in about a minute."""
    import torch

    from uncork import audit, treat
    from uncork.planted.subjects import planted
    from uncork.run.progress import working

    # One thread is as fast for so small a net, and does not stall when the machine is busy with other things.
    torch.set_num_threads(1)
    tell = progress(quiet)
    with working(tell, "training a small net on 1,000 handwritten digits", 60):
        subject = planted(plant, seed=seed)
    source = {"kind": "file", "spec": "uncork.planted.subjects:planted", "arguments": {"fault": plant, "seed": seed}}
    audited = audit(subject, budget=budget, out=out, seed=seed, source=source, progress=tell)
    show(treat(audited, budget=budget, progress=tell), quiet)
