"""A model held still while it is attacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from uncork.models.base import Model
from uncork.models.ensemble import Ensemble
from uncork.models.torch_model import TorchModel, evaluating


@contextmanager
def frozen(model: Model) -> Iterator[None]:
    """Every torch module within in eval mode, without gradients of its parameters; afterwards all is as it was."""
    modules = list(_modules(model))
    learnt = [p for module in modules for p in module.parameters() if p.requires_grad]
    try:
        for parameter in learnt:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(evaluating(module))
            yield
    finally:
        for parameter in learnt:
            parameter.requires_grad_(True)


def _modules(model: Model) -> Iterator[nn.Module]:
    if isinstance(model, TorchModel):
        yield model.module
    elif isinstance(model, Ensemble):
        for member in model.models:
            yield from _modules(member)
    elif hasattr(model, "inner"):  # of wrappers, and of a model that was loaded
        yield from _modules(model.inner)
