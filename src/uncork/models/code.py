"""What a callable does, as a hash that is the same in every process."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from typing import Any

import numpy as np

#: Code of installed packages counts by name: it follows their version, not the user's editing.
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

SHORT = 64  # characters


def code_fingerprint(fn: Any) -> str:
    """Hex hash of a callable's code, constants, defaults, closure, and of the user's globals that it names.

    A pickle's would differ between processes, and would not follow code that is imported by name.
    """
    return hashlib.blake2b(_text(fn, {}).encode(), digest_size=8).hexdigest()


def _text(value: Any, seen: dict[int, Any]) -> str:
    """What a value is, in a few words: each level of quoting would double the backslashes of the one inside it."""
    told = _told(value, seen)
    return told if len(told) <= SHORT else hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _told(value: Any, seen: dict[int, Any]) -> str:
    if isinstance(value, str | bytes | int | float | complex | None | types.ModuleType):
        return value.__name__ if isinstance(value, types.ModuleType) else repr(value)
    if id(value) in seen:
        return type(value).__qualname__
    seen[id(value)] = value  # kept alive: what is freed gives its id to the next
    if isinstance(value, list | tuple):
        return str([_text(part, seen) for part in value])
    if isinstance(value, set | frozenset):
        return str(sorted(_text(part, seen) for part in value))
    if isinstance(value, dict | types.MappingProxyType):
        return str([(_text(key, seen), _text(part, seen)) for key, part in value.items()])
    if isinstance(value, np.ndarray) or type(value).__module__ in ("torch", "torch.nn.parameter"):
        return _array(value)
    if isinstance(value, types.CodeType):
        return f"{value.co_code.hex()} {value.co_names} {_text(value.co_consts, seen)}"
    if isinstance(value, types.MethodType):
        return _text(value.__func__, seen) + _text(value.__self__, seen)
    if isinstance(value, types.FunctionType):
        return _function(value, seen)
    if isinstance(value, type):
        return _class(value, seen)
    # The default repr holds an address, which differs from process to process.
    shown = repr(value)
    content = getattr(value, "__dict__", {}) if " at 0x" in shown else shown
    extra = [getattr(value, name, None) for name in ("func", "args", "keywords")]  # functools.partial
    return _class(type(value), seen) + _text(content, seen) + _text(extra, seen)


def _function(fn: types.FunctionType, seen: dict[int, Any]) -> str:
    if fn.__code__.co_filename.startswith(INSTALLED):
        return f"{fn.__module__}.{fn.__qualname__}"
    cells = [_cell(cell) for cell in fn.__closure__ or ()]
    named = [fn.__globals__[name] for name in _names(fn.__code__) if name in fn.__globals__]
    return _text((fn.__code__, fn.__defaults__, fn.__kwdefaults__, cells, named), seen)


def _names(code: types.CodeType) -> list[str]:
    """Globals named in the code, and in the functions defined inside it."""
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType) for name in _names(const)]
    return [*code.co_names, *inner]


def _class(kind: type, seen: dict[int, Any]) -> str:
    """Methods and constants of a class, and of the user's classes that it inherits from."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    mine = [base for base in kind.__mro__ if not _installed(base)]
    parts = [(key, _plain(part)) for base in mine for key, part in vars(base).items()]
    return f"{name} {_text([pair for pair in parts if pair[1] is not None and _counts(*pair)], seen)}"


def _installed(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "builtins" or (file is not None and file.startswith(INSTALLED))


def _plain(part: Any) -> Any:
    """The function behind a method of any kind."""
    if isinstance(part, property):
        return part.fget
    if isinstance(part, functools.cached_property):
        return part.func
    if isinstance(part, staticmethod | classmethod):
        part = part.__func__
    return inspect.unwrap(part) if callable(part) else part


def _counts(name: str, part: Any) -> bool:
    if isinstance(part, types.FunctionType):
        return not part.__code__.co_filename.startswith(INSTALLED)
    return not name.startswith("__") and isinstance(part, str | int | float | tuple | list | dict)


def _array(value: Any) -> str:
    try:
        array = np.ascontiguousarray(np.asarray(value.detach().cpu() if hasattr(value, "detach") else value))
    except (TypeError, ValueError, RuntimeError):  # torch.dtype, torch.device; tensors numpy can't take
        return repr(value)
    if array.dtype == object:
        return repr(value)
    return f"{array.dtype} {array.shape} {hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest()}"


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
