"""Where a subject comes from: `path/to/file.py:name`, `package.module:name`, files, or tables of predictions."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from uncork.data.tables import predictions_split
from uncork.models.predictions import Predictions
from uncork.schema.errors import BadInput, UncorkError
from uncork.schema.subject import Subject


class SubjectRaised(BadInput):
    """The user's own code failed. `cause` is its exception, to be shown with its own traceback."""

    def __init__(self, spec: str, cause: BaseException) -> None:
        super().__init__(f"{spec} raised {type(cause).__name__}: {told(cause)}")
        self.cause = cause


def told(cause: BaseException) -> str:
    """What to say of an error in the user's code, whose traceback stands above: the way out where it is a common one,
    else its first line."""
    message = str(cause)
    if "weights_only" in message or "Weights only load failed" in message:
        return (
            "the checkpoint would run code while it is read, so it was not: ask its author for safetensors or a plain "
            "state_dict; or, only if you trust it, load it with torch.load(path, weights_only=False)"
        )
    torch = sys.modules.get("torch")
    if torch is not None and not torch.cuda.is_available() and re.search("cuda|nvidia", message, re.IGNORECASE):
        return "there is no GPU here: load with map_location='cpu' and leave out .cuda() and .to('cuda')"
    return message.strip().splitlines()[0] if message.strip() else "see above"


def subject_of(source: dict[str, Any], folder: str | Path, *, again: bool = True) -> Subject:
    """The subject again from what the run in `folder` remembers of it; `again=False` where the user says it now.

    Raises BadInput where it remembers nothing.
    """
    if source["kind"] == "predictions":
        return from_predictions(**{key: value for key, value in source.items() if key != "kind"})
    if source["kind"] == "files":
        from uncork.run.files import from_files

        return from_files(**{key: value for key, value in source.items() if key != "kind"}, again=again)
    if source["kind"] == "file":
        return load_subject(source["spec"], source.get("arguments"))
    raise BadInput(
        f"{folder} was made from Python objects: treat it from Python, uncork.treat(report), or "
        f"uncork.treat({str(folder)!r}, subject=...)"
    )


def load_subject(spec: str, arguments: dict[str, Any] | None = None) -> Subject:
    """The Subject that `spec` names, or that the function it names returns when called with `arguments`.

    Raises BadInput where there is no such file, module or name, or what it holds is no Subject; SubjectRaised where
    the user's code fails.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name.isidentifier():
        raise BadInput(f"{spec!r} names no subject: write path/to/file.py:name or package.module:name")
    module = _module(spec, where)
    if not hasattr(module, name):
        names = [n for n, v in vars(module).items() if isinstance(v, Subject)]
        there = f"it has {', '.join(names)}" if names else f"write {name} = Subject(model, test=Split(x, y)) in it"
        raise BadInput(f"{where} has no {name!r}: {there}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, Subject):
        found = _run(spec, functools.partial(found, **(arguments or {})), module.__file__)
    if not isinstance(found, Subject):
        raise BadInput(f"{spec} is of type {type(found).__name__}: let it be a Subject, or a function that returns one")
    return found if found.name else found.replace(name=name if name != "subject" else Path(where).stem)


def from_predictions(
    *,
    test: str,
    label: str,
    validation: str | None,
    train: str | None,
    columns: list[str] | None,
    id: str | None,
    metric: str,
) -> Subject:
    """A subject without a model: tables of probabilities and labels, with the same columns."""
    splits: dict[str, Any] = {}
    classes = None
    for name, path in (("test", test), ("validation", validation), ("train", train)):
        if path is None:
            continue
        splits[name], found = predictions_split(path, label, columns=columns, id=id)
        if classes is not None and found != classes:
            raise BadInput(f"{path} has the classes {', '.join(found)}, but {test} has {', '.join(classes)}")
        classes = found
    return Subject(Predictions(), classes=classes, metric=metric, name=Path(test).stem, **splits)


def _module(spec: str, where: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        absent = BadInput(f"there is no module {where!r}: check the name, or give path/to/file.py:name")
        if not all(part.isidentifier() for part in where.split(".")):
            raise absent
        sys.path.insert(0, "")
        try:
            return cast(ModuleType, _run(spec, lambda: importlib.import_module(where)))
        except SubjectRaised as e:
            missing = e.cause.name if isinstance(e.cause, ModuleNotFoundError) else None
            if missing and f"{where}.".startswith(f"{missing}."):
                raise absent from None
            raise
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
        _run(spec, lambda: loader.exec_module(module), module.__file__)
    finally:
        sys.path.remove(str(path.resolve().parent))
    import cloudpickle

    # Worker processes can't import a module named by file: it travels by value.
    cloudpickle.register_pickle_by_value(module)
    return module


def _run(spec: str, work: Callable[[], Any], file: str | None = None) -> Any:
    """Runs the user's code. What uncork itself refuses in it is told with the line of `file` that asked for it."""
    try:
        return work()
    except UncorkError as e:
        lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if file and Path(f.filename) == Path(file)]
        if not lines:
            raise
        raise BadInput(f"{spec.rpartition(':')[0]}, line {lines[-1]}: {e}") from None
    except (Exception, SystemExit) as e:
        raise SubjectRaised(spec, e) from None
