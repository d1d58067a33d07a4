"""Where a subject comes from: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from uncork.schema.errors import BadInput, UncorkError
from uncork.schema.subject import Subject


class SubjectRaised(BadInput):
    """The user's own code failed. `cause` is its exception, to be shown with its own traceback."""

    def __init__(self, spec: str, cause: BaseException, file: str | None) -> None:
        super().__init__(f"{spec} raised {type(cause).__name__}: {cause}{_hint(str(cause))}")
        self.cause = cause
        self.file = file


def _hint(message: str) -> str:
    """The way out of two failures that are common in code that loads a model."""
    if "weights_only" in message or "Weights only load failed" in message:
        return (
            "\nThe checkpoint would run code while it is read. Ask its author for safetensors or a plain state_dict; "
            "or, only if you trust it, load it yourself with torch.load(path, weights_only=False)."
        )
    if "CUDA" in message or "cuda" in message:
        return "\nThere is no GPU here: load with map_location='cpu' and leave out .cuda() and .to('cuda')."
    return ""


def load_subject(spec: str) -> Subject:
    """The Subject that `spec` names, or that the function it names returns.

    Raises BadInput where there is no such file, module or name, or what it holds is no Subject; SubjectRaised where
    the user's code fails.
    """
    where, colon, name = spec.rpartition(":")
    if not colon or not name.isidentifier():
        raise BadInput(f"{spec!r} names no subject: write path/to/file.py:name or package.module:name")
    module = _module(spec, where)
    if not hasattr(module, name):
        names = [n for n, v in vars(module).items() if isinstance(v, Subject)]
        there = f"it has {', '.join(names)}" if names else "it defines no Subject"
        raise BadInput(f"{where} has no {name!r}: {there}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, Subject):
        found = _run(spec, found, module.__file__)
    if not isinstance(found, Subject):
        raise BadInput(f"{spec} is of type {type(found).__name__}: let it be a Subject, or a function that returns one")
    return found if found.name else found.replace(name=name if name != "subject" else Path(where).stem)


def _module(spec: str, where: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        sys.path.insert(0, "")
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as e:
            if e.name is not None and where.startswith(e.name):
                raise BadInput(f"there is no module {where!r}: check the name, or give path/to/file.py:name") from None
            raise SubjectRaised(spec, e, None) from None
        except Exception as e:
            raise SubjectRaised(spec, e, None) from None
        finally:
            sys.path.remove("")
    if not path.is_file():
        raise BadInput(f"there is no file {where}: check the path; it is taken from the current folder")
    # A name of its own, so that a subject file called like a package shadows nothing.
    name = f"uncork_subject_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()}"
    described = importlib.util.spec_from_file_location(name, path)
    assert described is not None
    loader = described.loader
    assert loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        _run(spec, lambda: loader.exec_module(module), str(path))
    finally:
        sys.path.remove(str(path.resolve().parent))
    import cloudpickle

    # Worker processes can't import a module named by file: it travels by value.
    cloudpickle.register_pickle_by_value(module)
    return module


def _run(spec: str, work: Any, file: str | None) -> Any:
    try:
        return work()
    except UncorkError:
        raise
    except Exception as e:
        raise SubjectRaised(spec, e, file) from None
