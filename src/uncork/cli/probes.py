"""`uncork probes` and `uncork remedies`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.schema.errors import BadInput

_APART = (">>>", "...", "---", " ")  # examples and underlines


def reflowed(page: str) -> str:
    """A documentation page with each paragraph in one line, for a terminal of any width to break."""
    lines, before = [""], ""
    for line in page.splitlines():
        continues = bool(line) and not line.startswith((*_APART, "* "))
        if continues and before and not before.startswith(_APART):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        before = line
    return "\n".join(lines[1:])


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
        console.print(Text(reflowed(known[name].doc)))
        return
    table = Table("probe", "tier", "column", "what it finds", box=None)
    for probe in known.values():
        table.add_row(probe.id, probe.tier, probe.column, probe.failure_title)
    console.print(table)
    for module, why in broken().items():
        console.print(Text(f"{module} can't be imported: {why}"))


def remedies(name: Annotated[str | None, typer.Argument(help="A remedy to explain.")] = None) -> None:
    """List the remedies, or explain one: what it does, against which control, and when it fails."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uncork.probes._contract import registered
    from uncork.remedies._contract import remedies as known_remedies

    console, known = Console(), known_remedies()
    if name is not None:
        if name not in known:
            raise BadInput(f"there is no remedy {name!r}: choose from {', '.join(known)}")
        console.print(Text(reflowed(known[name].doc)))
        return
    table = Table("remedy", "safety", "for", "what it does", box=None)
    for remedy in known.values():
        mends = [probe.id for probe in registered().values() if remedy.id in probe.remedies]
        table.add_row(remedy.id, remedy.safety, ", ".join(mends), remedy.title)
    console.print(table)
