"""Errors a user can act on: each names the place, what is wrong, and the way out."""

from __future__ import annotations


class UncorkError(Exception):
    """Base of every error that uncork raises on purpose. The message is written for the user."""


class BadInput(UncorkError):
    """Something the user gave can't be used; the message says where, what, and what to do. Exit code 2."""


class DiskFull(BadInput):
    """No room is left. What was gathered before is kept, and the same command goes on from there. Exit code 2."""


class Unavailable(UncorkError):
    """An artifact has no meaning for this subject; findings that need it are not applicable, with this reason."""


class MissingExtra(Unavailable):
    """An optional dependency is not installed; the message has the command that installs it."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'uncork[{extra}]'")
        self.extra = extra
