"""A model from its file, whatever wrote it; nothing is unpickled without the user's word."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from uncork.schema.errors import BadInput, MissingExtra

_TRUST = "or, if you trust it, give --trust-pickle, or uncork.load_model(path, trust_pickle=True) as the model"


def load_model(path: str | PathLike[str], *, trust_pickle: bool = False) -> Any:
    """The model in a file or folder, to be given to Subject, by the ending of its name.

    .onnx (extra `export`); .skops (extra `sklearn`); .pkl, .pickle and .joblib; .pt, .pth, .bin, .ckpt and .ts of a
    TorchScript program; .pt2 of torch.export; .ubj and .json of xgboost, .txt of lightgbm (extra `tabular`); a folder
    of transformers with its config.json (extra `text`). A program is run as it is written: take it from whom you trust.
    What may hold a pickle (.pkl, .pickle, .joblib, .pt2, a module saved whole, types in a .skops that could run code)
    is read only with `trust_pickle=True`, and then runs whatever is in it. Raises BadInput where the file is absent,
    damaged, not trusted, or holds weights without the net they belong to, and MissingExtra without the extra.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: there is no such file or folder: give the path of a model")
    if path.is_dir():
        return _folder(path)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise BadInput(f"{path}: what it holds can't be told by its name: let it end in {', '.join(_READERS)}")
    return read(path, trust_pickle)


def holds_weights(path: str | PathLike[str]) -> bool:
    """Whether what a path names can only be weights, which need a module to go into."""
    path = Path(path)
    read = _READERS.get(path.suffix.lower(), _weights)
    return not path.is_dir() and (read is _weights or (read is _torch and not _program(path)))


def _program(path: Path) -> str:
    """What program a torch archive holds, if any."""
    try:
        names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    except zipfile.BadZipFile:
        return ""
    folders = {name.split("/")[1] for name in names if "/" in name}
    if "code" in folders:
        return "TorchScript"
    return "torch.export" if "models" in folders or "serialized_exported_program.json" in names else ""


def _onnx(path: Path, trust_pickle: bool) -> Any:
    from uncork.models.onnx_model import OnnxModel

    return OnnxModel(path)


def _skops(path: Path, trust_pickle: bool) -> Any:
    try:
        import skops.io
    except ImportError:
        raise MissingExtra("sklearn", f"loading {path.name}") from None
    try:
        foreign = skops.io.get_untrusted_types(file=path)
        if foreign and not trust_pickle:
            raise BadInput(
                f"{path} is made of types that could run code: {', '.join(foreign)}: load it yourself, "
                f"skops.io.load(path, trusted=[...]), and pass the estimator; {_TRUST}"
            )
        return skops.io.load(path, trusted=foreign)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise BadInput(f"{path} is no .skops file, or is damaged ({_first(error)}): save it again") from error
    except (ImportError, AttributeError) as error:
        raise BadInput(f"{path} needs code that is not here ({error}): install it, or put it on the path") from error


def _pickle(path: Path, trust_pickle: bool) -> Any:
    if not trust_pickle:
        raise BadInput(
            f"{path} is a pickle, which runs whatever is in it when it is read, so it was not: save the model with "
            f"skops.io.dump or as ONNX; {_TRUST}"
        )
    import joblib

    _warn(path)
    return _unpickled(path, lambda: joblib.load(path))


def _torch(path: Path, trust_pickle: bool) -> Any:
    program = _program(path)
    if program:
        return (_script if program == "TorchScript" else _exported)(path, trust_pickle)
    from uncork.models.weights import RunsCode, read_state

    try:
        read_state(path)
    except RunsCode as error:
        if not trust_pickle:
            raise BadInput(f"{error}; {_TRUST}") from None
        import torch

        _warn(path)
        return _unpickled(path, lambda: torch.load(path, map_location="cpu", weights_only=False))
    return _weights(path, trust_pickle)


def _weights(path: Path, trust_pickle: bool) -> Any:
    raise BadInput(
        f"{path} holds weights without the net that they belong to: give recipe=Recipe(build, ...) so that they have a "
        "module to go into, or load them yourself with uncork.load_weights(module, path)"
    )


def _script(path: Path, trust_pickle: bool) -> Any:
    from uncork.models.program import TORCHSCRIPT, Program

    try:
        return Program(path.read_bytes(), TORCHSCRIPT)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"{path} is no TorchScript program, or is damaged ({_first(error)}): save it again with torch.jit.save"
        ) from error


def _exported(path: Path, trust_pickle: bool) -> Any:
    from uncork.models.program import EXPORTED, Program

    if not trust_pickle:
        raise BadInput(
            f"{path} is a torch.export program, and reading one may run what somebody put into it, so it was not: "
            f"save the model as ONNX or by torch.jit.save; {_TRUST}"
        )
    _warn(path)
    return _unpickled(path, lambda: Program(path.read_bytes(), EXPORTED))


def _xgboost(path: Path, trust_pickle: bool) -> Any:
    from uncork.models.boosted import xgboost_model

    return xgboost_model(path)


def _lightgbm(path: Path, trust_pickle: bool) -> Any:
    from uncork.models.boosted import lightgbm_model

    return lightgbm_model(path)


def _folder(path: Path) -> Any:
    if not (path / "config.json").is_file():
        raise BadInput(f"{path} is a folder without config.json: give a model's file, or a folder of transformers")
    from uncork.models.transformers_model import load_folder

    return load_folder(path)


def _warn(path: Path) -> None:
    warnings.warn(f"{path} is read as a pickle, as you trust it: it can run any code", UserWarning, stacklevel=4)


def _unpickled(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (ImportError, AttributeError) as error:
        raise BadInput(f"{path} needs code that is not here ({error}): install it, or put it on the path") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise BadInput(f"{path} is damaged, or is none ({_first(error)}): save it again") from error


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_READERS: dict[str, Callable[[Path, bool], Any]] = {
    ".onnx": _onnx,
    ".skops": _skops,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".joblib": _pickle,
    ".pt": _torch,
    ".pth": _torch,
    ".bin": _torch,
    ".ckpt": _torch,
    ".ts": _script,
    ".pt2": _exported,
    ".safetensors": _weights,
    ".ubj": _xgboost,
    ".json": _xgboost,
    ".txt": _lightgbm,
}
