"""Weights from a file into a module, without running any code that the file may hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from torch import nn


class RunsCode(BadInput):
    """The file is a pickle of more than tensors."""


WRAPPERS = ("state_dict", "model_state_dict", "model")


def load_weights(module: nn.Module, path: str | Path) -> nn.Module:
    """Fills `module` from a .safetensors file or a torch checkpoint, and returns it.

    A state dict under "state_dict", "model_state_dict" or "model" is found, and DataParallel's "module." taken off.
    Raises BadInput where the file is missing or damaged, would run code, or holds other parameters than the module.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file")
    state = read_state(path)
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not state or not all(hasattr(value, "shape") for value in state.values()):
        raise BadInput(f"{path} holds no state dict: save one with torch.save(module.state_dict(), path)")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    for name, value in module.state_dict().items():
        if name.rpartition(".")[2] == "num_batches_tracked":  # a counter that torch < 0.4.1 didn't have
            state.setdefault(name, value)
    _check_fit(module, state, path)
    module.load_state_dict(state)
    return module


def packed(module: nn.Module) -> bytes:
    """The module's tensors as the content of a .safetensors file, which `load_weights` reads; b"" where it has none."""
    from safetensors.torch import save

    tensors = {name: value for name, value in module.state_dict().items() if hasattr(value, "detach")}
    return save({n: v.detach().cpu().contiguous().clone() for n, v in tensors.items()}) if tensors else b""


def read_state(path: Path) -> Any:
    """What a file of weights holds. Raises RunsCode where that is more than tensors, BadInput where it is damaged."""
    import torch

    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(f"{path} is no safetensors file ({error}): save it again") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and "allowlist" not in str(error):
            raise BadInput(f"{path} is no torch checkpoint: save one with torch.save") from error
        raise RunsCode(
            f"{path} would run code when loaded, so it is refused: ask its author for safetensors, or, if you trust "
            "it, call torch.load(path, weights_only=False) in your own code and pass the module"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is no torch checkpoint, or is damaged: save it again with torch.save") from error


def _check_fit(module: nn.Module, state: dict[str, Any], path: Path) -> None:
    own = module.state_dict()
    # What a module keeps under "_extra_state" is no tensor, and load_state_dict sees to it.
    shapes = {name: tuple(value.shape) for name, value in own.items() if hasattr(value, "shape")}
    given = {name: tuple(value.shape) for name, value in state.items()}
    faults = [
        ("missing from the file", [name for name in shapes if name not in given]),
        ("not in the module", [name for name in given if name not in own]),
        (
            "of another shape",
            [
                f"{name} (file {given[name]}, module {shapes[name]})"
                for name in shapes
                if name in given and given[name] != shapes[name]
            ],
        ),
    ]
    told = [f"{what}: {_few(names)}" for what, names in faults if names]
    if told:
        raise BadInput(f"{path} does not fit {type(module).__name__}: {'; '.join(told)}: build the module it came from")


def _few(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
