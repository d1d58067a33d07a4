"""Arrays of an .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.schema.errors import BadInput


def from_npz(
    path: str | Path,
    *,
    x: str = "x",
    target: str | None = "y",
    id: str | None = None,
    groups: str | None = None,
    time: str | None = None,
) -> Split:
    """The array named `x` as rows; where there is none, all that start with it and _ as a mapping: x_a, x_b → a, b.

    `target`: the labels; None, or where there is no "y", for none. `id`, `groups`, `time`: the arrays that hold them.
    Nothing is unpickled. Raises BadInput where the file can't be read or holds Python objects, and for an array that
    isn't there.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise BadInput(f"{path} holds one array without a name: give Split(numpy.load(path), y)")
        with file:
            return _split(file, path, x, {"y": target, "ids": id, "groups": groups, "times": time})
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} can't be read as .npz: {str(error).splitlines()[0] or type(error).__name__}") from None


def _split(file: Any, path: str | Path, x: str, named: dict[str, str | None]) -> Split:
    parts = [x] if x in file.files else [name for name in file.files if name.startswith(f"{x}_")]
    beside = {key: name for key, name in named.items() if name is not None}
    if beside.get("y") == "y" and "y" not in file.files:
        del beside["y"]
    for name in (*(parts or [x]), *beside.values()):
        if name not in file.files:
            raise BadInput(f"{path} has no array {name!r}: it has {', '.join(file.files) or 'none'}")
    rows: Any = {name.removeprefix(f"{x}_"): _array(file, name, path) for name in parts}
    if parts == [x]:
        rows = rows[x]
    return Split(rows, **{key: _array(file, name, path) for key, name in beside.items()})


def _array(file: Any, name: str, path: str | Path) -> np.ndarray:
    try:
        return np.asarray(file[name])
    except ValueError:
        raise BadInput(
            f"{path}: the array {name!r} holds Python objects, which are not unpickled: save it as numbers or as "
            "strings of one type, numpy.asarray(values, str)"
        ) from None
