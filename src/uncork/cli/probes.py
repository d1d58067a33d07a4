"""`uncork probes`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.schema.errors import BadInput


def probes(name: Annotated[str | None, typer.Argument(help="A probe to explain.")] = None) -> None:
    """List the probes, or explain one: what it measures, how, and when it misleads."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uncork.probes._contract import broken, registered

    console, known = Console(), registered()
    if name is not None:
        if name not in known:
            raise BadInput(f"there is no probe {name!r}: choose from {', '.join(known)}")
        console.print(Text(known[name].doc))
        return
    table = Table("probe", "tier", "column", "what it finds", box=None)
    for probe in known.values():
        table.add_row(probe.id, probe.tier, probe.column, probe.failure_title)
    console.print(table)
    for module, why in broken().items():
        console.print(Text(f"{module} can't be imported: {why}"))
