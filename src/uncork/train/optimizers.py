"""The optimisers that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from uncork.schema.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from uncork.train.recipe import Recipe

#: Those that look at whole matrices, so that several nets can't share a step.
PRECONDITIONED = ("muon", "soap")


def make_optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """Weight decay holds for matrices and kernels; biases and norms (one dimension or none) are spared.

    "muon" orthogonalises the steps of matrices and leaves all else to AdamW, at the same lr: its steps are scaled to
    AdamW's (Liu et al., arXiv 2502.16982). "soap" is Adam in the eigenbasis of Shampoo (Vyas et al., ICLR 2025), of
    pytorch-optimizer. Raises MissingExtra where that is not installed.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise BadInput("recipe.build makes a module that has no parameters to train: check requires_grad")
    if recipe.optimizer == "muon":
        return _muon(recipe, parameters)
    groups = _groups(recipe, [p for p in parameters if p.ndim >= 2], [p for p in parameters if p.ndim < 2])
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9)
    makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "soap": _soap,
    }
    return makers[recipe.optimizer](groups, lr=recipe.lr)


def _groups(recipe: Recipe, decayed: Sequence[nn.Parameter], spared: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    groups = [
        {"params": list(decayed), "weight_decay": recipe.weight_decay},
        {"params": list(spared), "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _soap(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    try:
        from pytorch_optimizer import SOAP
    except ImportError:
        raise MissingExtra("optim", "training with SOAP") from None
    made: torch.optim.Optimizer = SOAP(groups, lr=lr)
    return made


class _Together(torch.optim.Optimizer):
    """Two optimisers that step together; the groups of both are its own."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        super().__init__([*first.param_groups, *second.param_groups], {})
        self.parts = (first, second)
        self.param_groups = [*first.param_groups, *second.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()


def _muon(recipe: Recipe, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    matrices = [p for p in parameters if p.ndim == 2]
    others = _groups(recipe, [p for p in parameters if p.ndim > 2], [p for p in parameters if p.ndim < 2])
    if not matrices:
        raise BadInput("recipe.optimizer is 'muon', but the module has no matrix (a Linear's weight): use adamw")
    muon = torch.optim.Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw")
    return _Together(muon, torch.optim.AdamW(others, lr=recipe.lr)) if others else muon
