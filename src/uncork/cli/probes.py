"""`uncork probes` and `uncork remedies`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from uncork.schema.contract import Probe, Remedy

_APART = (">>>", "...", "---", " ")  # examples and underlines


def reflowed(page: str) -> str:
    """A documentation page with each paragraph in one line, for a terminal of any width to break."""
    lines, before, example = [""], "", False
    for line in page.splitlines():
        continues = bool(line) and not line.startswith((*_APART, "* "))
        if continues and before and not before.startswith(_APART) and not example:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        example = bool(line) and (example or line.startswith(">>>"))  # up to an empty line: what it prints, too
        before = line
    return "\n".join(lines[1:])


def probes(name: Annotated[str | None, typer.Argument(help="A probe to explain.")] = None) -> None:
    """List the probes, or explain one: what it measures, how, and when it misleads."""
    from uncork.probes._contract import broken, registered

    known = registered()
    rows = [(probe.id, probe.tier, probe.column, probe.failure_title) for probe in known.values()]
    told = [f"{module} can't be imported: {why}" for module, why in broken().items()]
    _show("probe", known, name, ("probe", "tier", "column", "what it finds"), rows, told)


def remedies(name: Annotated[str | None, typer.Argument(help="A remedy to explain.")] = None) -> None:
    """List the remedies, or explain one: what it does, against which control, and when it fails."""
    from uncork.probes._contract import registered
    from uncork.remedies._contract import remedies as known_remedies

    known, of = known_remedies(), registered().values()
    rows = [
        (remedy.id, remedy.safety, ", ".join(probe.id for probe in of if remedy.id in probe.remedies), remedy.title)
        for remedy in known.values()
    ]
    _show("remedy", known, name, ("remedy", "safety", "for", "what it does"), rows)


def _show(
    kind: str,
    known: Mapping[str, Probe | Remedy],
    name: str | None,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    told: Sequence[str] = (),
) -> None:
    """The page of one unit, or a table of all. Raises BadInput for a name that there is not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if name is None:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table, *map(Text, told), sep="\n")
    elif name not in known:
        raise BadInput(f"there is no {kind} {name!r}: choose from {', '.join(known)}")
    else:
        console.print(Text(reflowed(known[name].doc)))
