"""The `uncork` command: its commands, and how errors reach the user."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

import typer

from uncork.cli import audit, demo, init, probes
from uncork.schema.errors import UncorkError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Measures what holds a trained neural network back, ranks it by what mending it would gain, "
    "mends it, and proves the gain on data that nothing has touched.",
)
app.command()(demo.demo)
app.command()(audit.audit)
app.command()(audit.treat)
app.command()(audit.report)
app.command()(probes.probes)
app.command()(init.init)

BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit code 0: done; 2: bad input or usage; 130: stopped by Ctrl-C, can be given again."""
    try:
        app(arguments)
    except KeyboardInterrupt:
        _say("stopped: give the same command again to go on from here")
        sys.exit(INTERRUPTED)
    except UncorkError as error:
        cause = getattr(error, "cause", None)
        if cause is not None:
            _say("".join(traceback.format_exception(type(cause), cause, _theirs(cause.__traceback__))).rstrip())
        _say(f"uncork: {error}")
        sys.exit(BAD_INPUT)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _theirs(tb: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that lies in the user's code: ours, and the import machinery's, is left out."""
    while tb is not None and ("uncork" in tb.tb_frame.f_globals.get("__name__", "").split(".")[:1] or _frozen(tb)):
        tb = tb.tb_next
    return tb


def _frozen(tb: TracebackType) -> bool:
    return tb.tb_frame.f_code.co_filename.startswith("<frozen importlib")
