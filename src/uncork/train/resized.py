"""Nets that are no longer what `build` makes: layers with other sizes, or in two parts; told in JSON, made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from uncork.schema.errors import BadInput
from uncork.train.low_rank import factored

#: What layers call their sizes.
SIZES = (
    "in_channels",
    "out_channels",
    "in_features",
    "out_features",
    "num_features",
    "num_channels",
    "normalized_shape",
    "groups",
    "embedding_dim",
    "hidden_size",
    "input_size",
)

Change = Mapping[str, Any]


@dataclass(frozen=True)
class Resized:
    """Builds what `build` does with sizes changed, freshly initialised as its layers do by themselves.

    `changes`, in turn: {"sizes": {layer: {size: number}}, "shapes": {parameter: shape}} of `sizes_changed`, or
    {"ranks": {layer: rank}} of `low_rank`. Raises BadInput where `build` makes another net.
    """

    build: Callable[..., nn.Module]
    changes: Sequence[Change]

    def __call__(self, **sizes: Any) -> nn.Module:
        return changed(self.build(**sizes), self.changes)


def again(build: Callable[..., nn.Module], change: Change) -> Resized:
    """`build` with one more change."""
    if isinstance(build, Resized):
        return Resized(build.build, [*build.changes, change])
    return Resized(build, [change])


def changed(module: nn.Module, changes: Sequence[Change]) -> nn.Module:
    """The module, with its layers changed in place."""
    try:
        for change in changes:
            if "ranks" in change:
                module = factored(module, change["ranks"])
            else:
                _resize(module, change)
    except (AttributeError, KeyError, ValueError, RuntimeError) as error:
        raise BadInput(
            f"build makes {type(module).__name__}, which is not the net that was made smaller ({error}): give the "
            "function that made it"
        ) from error
    return module


def sizes_changed(before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """What `Resized` needs to make the second's layers of the first's: sizes and shapes that differ."""
    sizes: dict[str, dict[str, Any]] = {}
    for (name, old), new in zip(before.named_modules(), after.modules(), strict=True):
        known = {size: getattr(new, size) for size in SIZES if hasattr(old, size)}
        other = {size: value for size, value in known.items() if value != getattr(old, size)}
        if other:
            sizes[name] = other
    states = zip(_tensors(before).items(), _tensors(after).values(), strict=True)
    shapes = {name: list(new.shape) for (name, old), new in states if old.shape != new.shape}
    return {"sizes": sizes, "shapes": shapes}


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@torch.no_grad()
def _resize(module: nn.Module, change: Change) -> None:
    for name, sizes in change["sizes"].items():
        for size, value in sizes.items():
            setattr(module.get_submodule(name), size, tuple(value) if isinstance(value, list) else value)
    owners: dict[nn.Module, None] = {}
    for name, shape in change["shapes"].items():
        owner, tensor = module.get_submodule(name.rpartition(".")[0]), _tensors(module)[name]
        for dimension, size in enumerate(shape):
            tensor = tensor.narrow(dimension, 0, size)
        own: Any = tensor.clone()
        before = getattr(owner, name.rpartition(".")[2])
        if isinstance(before, nn.Parameter):
            own = nn.Parameter(own, before.requires_grad)
        setattr(owner, name.rpartition(".")[2], own)
        owners[owner] = None
    for owner in owners:
        reset = getattr(owner, "reset_parameters", None)
        if callable(reset):
            reset()
