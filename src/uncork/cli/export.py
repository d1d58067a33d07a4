"""`uncork export`."""

from __future__ import annotations

from typing import Annotated

import typer

from uncork.cli.shared import Quiet


def export(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    file: Annotated[str, typer.Argument(help="The ONNX file to write, such as model.onnx.")],
    which: Annotated[
        str | None,
        typer.Option(
            metavar="audited|treated|patched",
            help="The model: as it was audited, what treat kept, or with corrections. Default: treated, else audited.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the model, with all that was put around it, as one ONNX file that onnxruntime runs alone."""
    from uncork import export as write

    found = write(run, file, which=which)
    if quiet:
        return
    what = "value"
    if "class" in found.outputs:
        what = "logit"
        typer.echo(f"of {found.rows:,} rows of validation, given another class: {found.flips}")
        typer.echo(f"answered by one of the two, handed over by the other: {found.turned}")
    typer.echo(f"largest difference of a {what}: {found.gap:.2g}")
    typer.echo(
        f"{found.path}: {found.bytes:,} bytes; takes {', '.join(found.inputs)}; gives {', '.join(found.outputs)}"
    )
