"""Which files the user said may be unpickled: known by their content, on this machine alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from uncork.gather.store import explained
from uncork.run.ledger import path as ledger


def trust(model: str | Path) -> None:
    """Remembers that a file may be read though it can run code. Folders and absent files are passed over."""
    digest = _digest(model)
    if digest is None or digest in _known():
        return
    place = _place()
    with explained(place, "set UNCORK_STATE to a folder that can be, for what is trusted"):
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "a") as file:
            file.write(f"{digest}\n")


def trusted(model: str | Path) -> bool:
    """Whether this very content was trusted: a run folder from elsewhere, or a file that changed, is not."""
    return _digest(model) in _known()


def _place() -> Path:
    return ledger().parent / "trusted-pickles"


def _known() -> set[str]:
    return set(_place().read_text().split()) if _place().is_file() else set()


def _digest(model: str | Path) -> str | None:
    if not Path(model).is_file():
        return None
    with open(model, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
