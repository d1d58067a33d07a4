"""Nets with one of their blocks passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from uncork.models.blocks import plain
from uncork.models.tensors import call
from uncork.models.torch_model import evaluating

_STAGES = (nn.Sequential, nn.ModuleList)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def blocks(module: nn.Module, batch: Any) -> tuple[str, ...]:
    """Names of the outermost submodules with parameters that return one tensor of the shape and type they are given.

    Sequences are looked into: their members are the blocks. A submodule that runs more than once has to keep the shape
    each time; one that runs on inputs given by name alone is none.
    """
    keeps: dict[str, bool] = {}
    hooks = []
    for name, part in module.named_modules():

        def see(_: nn.Module, inputs: tuple[Any, ...], output: Any, name: str = name) -> None:
            keeps[name] = keeps.get(name, True) and bool(inputs) and _alike(inputs[0], output)

        hooks.append(part.register_forward_hook(see))
    try:
        with evaluating(module), torch.no_grad():
            call(module, batch)
    finally:
        for hook in hooks:
            hook.remove()
    found: list[str] = []
    for name, part in module.named_modules():  # parents come before their children
        inside = any(name.startswith(f"{outer}.") for outer in found)
        whole = name == "" or isinstance(part, _STAGES)
        if keeps.get(name) and not inside and not whole and any(True for _ in part.parameters()):
            found.append(name)
    return tuple(found)


def _alike(given: Any, got: Any) -> bool:
    return plain(given) and plain(got) and given.shape == got.shape and given.dtype == got.dtype


class Passing:
    """A `forward` that gives back its first input."""

    def __call__(self, x: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
        return x


@contextmanager
def passed_over(module: nn.Module, name: str) -> Iterator[None]:
    """Inside, the submodule gives back what it is given; its attributes stay readable."""
    part = module.get_submodule(name)
    own = {key: value for key, value in vars(part).items() if key == "forward"}
    part.forward = Passing()
    try:
        yield
    finally:
        del part.forward
        vars(part).update(own)


@dataclass(frozen=True)
class Without:
    """A recipe's `build` whose net has a block passed over; the other layers start as they would with it."""

    build: Callable[[], nn.Module]
    name: str

    def __call__(self) -> nn.Module:
        module = self.build()
        module.get_submodule(self.name).forward = Passing()
        return module


@dataclass(frozen=True)
class WithoutDropout:
    """A recipe's `build` whose net drops nothing."""

    build: Callable[[], nn.Module]

    def __call__(self) -> nn.Module:
        module = self.build()
        for part in drops(module):
            part.p = 0.0
        return module


def drops(module: nn.Module) -> list[Any]:
    """Dropout layers that drop something."""
    return [part for part in module.modules() if isinstance(part, _DROPOUTS) and part.p > 0]
