"""Artifacts on disk: content-addressed, checked on reading, never half-written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from uncork.schema.artifacts import Request
from uncork.schema.errors import BadInput, DiskFull


class Store:
    """One folder of artifacts. A file's name is `kind-address-checksum.safetensors`.

    The address is a hash of what was asked of which subject, the checksum one of the file's bytes: a damaged file is
    noticed on reading, set aside as `.damaged`, and gathered again. What is still in memory is not read again.
    """

    def __init__(self, folder: Path, subject: str) -> None:
        self.folder = folder
        self._subject = subject
        self._alive: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    def apart(self, name: str) -> Store:
        """A store in the same folder that finds nothing of this one's, nor this one of it."""
        return Store(self.folder, f"{self._subject} {name}")

    def _address(self, request: Request) -> str:
        return hashlib.blake2b(f"{self._subject}|{request.key()}".encode(), digest_size=10).hexdigest()

    def get(self, request: Request) -> Any | None:
        """The stored artifact, or None where there is none that is whole."""
        if request.key() in self._alive:
            return self._alive[request.key()]
        for path in sorted(self.folder.glob(f"{request.kind}-{self._address(request)}-*.safetensors")):
            content = path.read_bytes()
            if path.stem.rsplit("-", 1)[1] == checksum(content):
                return self._alive.setdefault(request.key(), decode(content))
            path.rename(path.with_suffix(".damaged"))
        return None

    def put(self, request: Request, data: Any) -> Path:
        """Writes one artifact. Raises BadInput on a full disk, with nothing half-written."""
        content = encode(data)
        path = self.folder / f"{request.kind}-{self._address(request)}-{checksum(content)}.safetensors"
        write_atomically(path, content)
        self._alive[request.key()] = data
        return path


def checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def encode(data: Any) -> bytes:
    """A dataclass of arrays, JSON values and further such dataclasses, as one safetensors file."""
    arrays: dict[str, np.ndarray] = {}
    tree = _flatten(data, "", arrays)
    return save(arrays, metadata={"tree": json.dumps(tree)})


def _flatten(data: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    kind = type(data)
    tree: dict[str, Any] = {"type": kind.__name__, "module": kind.__module__, "fields": {}}
    for field in dataclasses.fields(data):
        value, name = getattr(data, field.name), f"{prefix}{field.name}"
        if isinstance(value, np.ndarray):
            arrays[name] = np.asarray(value, order="C")
        elif dataclasses.is_dataclass(value):
            tree["fields"][field.name] = _flatten(value, f"{name}.", arrays)
        else:
            tree["fields"][field.name] = {"value": value}
    return tree


def decode(content: bytes) -> Any:
    """The dataclass that `encode` wrote, of a module that is imported already. Nothing is unpickled."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return _rebuild(json.loads(header["__metadata__"]["tree"]), "", load(content))


def _rebuild(tree: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    kind = _class(tree.get("module", Request.__module__), tree["type"])
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}"
        if name in arrays:
            values[field.name] = arrays[name]
            continue
        stored = tree["fields"][field.name]
        value = _rebuild(stored, f"{name}.", arrays) if "type" in stored else stored["value"]
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _class(module: str, name: str) -> Any:
    kind = getattr(sys.modules.get(module), name, None)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise BadInput(
            f"the store holds a {module}.{name}, which is not there: install what made it, or use another --out"
        )
    return kind


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes to a temporary name, syncs, renames. Raises BadInput where the disk is full or the folder can't be
    written; then nothing of the file is left."""
    raw = content.encode() if isinstance(content, str) else content
    with explained(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def explained(path: Path, way_out: str = "choose another folder with --out") -> Iterator[None]:
    """Turns the operating system's refusals into errors a user can act on."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {path.name} could not be written in {path.parent}. "
                "Free some room and give the same command again: what is gathered is kept"
            ) from None
        raise BadInput(f"{path.parent} can't be written ({e.strerror}): {way_out}") from None
