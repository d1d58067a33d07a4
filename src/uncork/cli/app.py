"""The `uncork` command: its commands, and how errors reach the user."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

import typer

from uncork.cli import acquire, audit, check, demo, diff, explain, export, history, init, patch, probes
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
app.command()(diff.diff)
app.command()(check.check)
app.command()(history.history)
app.command()(explain.explain)
app.command()(acquire.acquire)
app.command()(patch.patch)
app.command()(export.export)
app.command()(probes.probes)
app.command()(probes.remedies)
app.command()(init.init)

BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: list[str] | None = None) -> None:
    """Runs one command.

    Exit code 0: done; 1: an assertion of check does not hold; 2: bad input or usage; 130: stopped by Ctrl-C, can be
    given again.
    """
    try:
        app(arguments)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Ctrl-C becomes in typer
            _say("stopped: give the same command again to go on from here")
        raise
    except UncorkError as error:
        cause = getattr(error, "cause", None)
        if cause is not None:
            _show(cause)
        _say(f"uncork: {error}")
        sys.exit(BAD_INPUT)
    except Exception as error:
        if _theirs(error.__traceback__) is None:
            raise  # a fault of uncork's own
        from uncork.run.source import told

        _show(error)
        _say(f"uncork: the subject's own code raised {type(error).__name__}: {told(error)}")
        sys.exit(BAD_INPUT)


def _show(error: BaseException) -> None:
    """An error of the user's code, with the part of its traceback that is theirs."""
    error = error.with_traceback(_theirs(error.__traceback__))
    _say("".join(traceback.format_exception(error)).rstrip())


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _theirs(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame of the user's code on; None where it has none."""
    while tb is not None and _ours(tb):
        tb = tb.tb_next
    return tb


def _ours(tb: TracebackType) -> bool:
    """Whether a frame is uncork's, an installed package's, or the import machinery's."""
    from uncork.models.code import INSTALLED

    name, file = tb.tb_frame.f_globals.get("__name__", ""), tb.tb_frame.f_code.co_filename
    return name.split(".")[0] == "uncork" or file.startswith((*INSTALLED, "<frozen importlib"))


if __name__ == "__main__":
    main()
