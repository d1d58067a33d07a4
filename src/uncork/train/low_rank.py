"""Linear layers and convolutions in two parts of low rank, by the singular values of their weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from uncork.models.tensors import call


class LowRank(nn.Sequential):
    """Two layers in place of one: into `rank` channels, and out of them."""


def ranks_of(module: nn.Module, energy: float) -> dict[str, int]:
    """The least rank of each layer that keeps this share of its squared singular values, where that saves work.

    Of Linear layers and 2d convolutions without groups; those that two parts would make dearer are left out.
    """
    ranks = {}
    for name, layer in _layers(module).items():
        matrix = _matrix(layer)
        squares = torch.linalg.svdvals(matrix.double()) ** 2
        rank = int((squares.cumsum(0) < energy * squares.sum()).sum()) + 1
        if rank * sum(matrix.shape) < matrix.numel():
            ranks[name] = rank
    return ranks


def separable(module: nn.Module, ranks: Mapping[str, int], example: Any) -> dict[str, int]:
    """Those of these layers that can be in two: some nets, such as torch's encoders, read a layer's weights themselves.

    `example`: a batch as the module's forward takes it, where the module is.
    """
    if _runs(low_rank(module, ranks), example):
        return dict(ranks)
    return {name: rank for name, rank in ranks.items() if _runs(low_rank(module, {name: rank}), example)}


@torch.no_grad()
def _runs(module: nn.Module, example: Any) -> bool:
    try:
        call(module, example)
    except Exception:  # of whatever a forward does with a layer
        return False
    return True


def factored(module: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """The module with these layers in two, in place but for a module that is one layer itself.

    The product of the two is the closest of its rank to the layer's weight (Eckart and Young). A convolution becomes
    one of its own kernel into `rank` channels and one of 1 × 1 (Zhang et al., Accelerating very deep convolutional
    networks, TPAMI 38, 2016).
    """
    for name, rank in ranks.items():
        with torch.random.fork_rng(devices=[]):  # fresh layers draw their weights
            two = _two(module.get_submodule(name), rank)
        if not name:
            return two
        owner, _, last = name.rpartition(".")
        setattr(module.get_submodule(owner), last, two)
    return module


def low_rank(module: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """A copy in eval mode with these layers in two."""
    return factored(copy.deepcopy(module), ranks).eval()


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    inside = {id(part) for two in module.modules() if isinstance(two, LowRank) for part in two}
    kinds = (nn.Linear, nn.Conv2d)
    plain = {name: part for name, part in module.named_modules() if type(part) in kinds and id(part) not in inside}
    return {name: part for name, part in plain.items() if getattr(part, "groups", 1) == 1}


def _matrix(layer: nn.Module) -> torch.Tensor:
    """(outputs, all that one output is a sum of)."""
    return layer.get_parameter("weight").detach().flatten(1)


@torch.no_grad()
def _two(layer: nn.Module, rank: int) -> LowRank:
    u, s, v = torch.linalg.svd(_matrix(layer).double(), full_matrices=False)
    root = s[:rank].sqrt()
    last, first = u[:, :rank] * root, root[:, None] * v[:rank]
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        one: nn.Module = nn.Linear(layer.in_features, rank, bias=False)
        two: nn.Module = nn.Linear(rank, layer.out_features, bias=bias)
    elif isinstance(layer, nn.Conv2d):
        one = nn.Conv2d(
            layer.in_channels,
            rank,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            bias=False,
            padding_mode=layer.padding_mode,
        )
        two = nn.Conv2d(rank, layer.out_channels, 1, bias=bias)
    else:
        raise ValueError(f"a {type(layer).__name__} has no matrix to be taken apart")
    for part, matrix in ((one, first), (two, last)):
        weight = part.get_parameter("weight")
        weight.copy_(matrix.reshape(weight.shape))
    if bias:
        two.get_parameter("bias").copy_(layer.get_parameter("bias"))
    made = LowRank(one, two).to(layer.get_parameter("weight"))
    required = layer.get_parameter("weight").requires_grad
    return made.requires_grad_(required)
