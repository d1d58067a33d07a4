"""The blocks that a net runs one after the other, found by running it once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from uncork.models.base import rows_in
from uncork.models.program import Program
from uncork.models.tensors import call
from uncork.models.torch_model import evaluating

CONTAINERS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True)
class Block:
    """A submodule of a chain, by its name. `share`: of the net's operations, those up to its end. `learnt`: whether it
    or one before it has weights."""

    name: str
    share: float
    learnt: bool


@dataclass(eq=False)
class _Call:
    """One run of a submodule: the tensors that went in and came out, and the net's operations up to its end."""

    entered: Any
    left: Any
    flops: int = 0


def chain(module: nn.Module, tensors: Any) -> tuple[Block, ...]:
    """The longest way through the net on which each block's input is the output of the one before it, and nothing else.

    `tensors`: a few rows as the module takes them, on its device. Children of a Sequential or ModuleList inside another
    count as its own; a block runs once, and keeps one entry a row along the first axis. Of several ways the one on
    which most operations (products with weights) come after the first that takes any, with what
    leads into it, as embeddings do, as a block before; () where no way has two blocks, and of programs, whose layers
    can't be seen.
    """
    if isinstance(module, Program):
        return ()
    calls, total = _traced(module, tensors)
    ways = [way for part in module.modules() for way in _ways(part, module, calls, rows_in(tensors))]
    best = max(ways, key=lambda way: _spared(way, calls), default=[])
    if not best:
        return ()
    entered = calls[best[0]][0].entered
    before = [name for name, ran in calls.items() if len(ran) == 1 and ran[0].left is entered and name not in best]
    blocks, learnt = [], False
    for name in [*sorted(before, key=len)[:1], *best]:
        learnt = learnt or any(True for _ in module.get_submodule(name).parameters())
        blocks.append(Block(name, calls[name][0].flops / max(1, total), learnt))
    return tuple(blocks)


def first_tensor(value: Any) -> Any:
    """A tensor, or the first of a tuple of them."""
    return value[0] if isinstance(value, tuple | list) and value else value


def plain(value: Any) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor that has a shape: the nested ones of masked encoders have none."""
    return isinstance(value, torch.Tensor) and not value.is_nested


def exits(blocks: tuple[Block, ...], most: int, least_spared: float = 0.1) -> tuple[int, ...]:
    """Positions in `blocks` after which rows may leave: behind the first weights, where operations are about to come.

    At most so many, evenly spread; none after which less than `least_spared` of the operations is left.
    """
    turns = [
        i
        for i in range(len(blocks) - 1)
        if blocks[i].share < blocks[i + 1].share and blocks[i].learnt and blocks[i].share <= 1 - least_spared
    ]
    if len(turns) <= most:
        return tuple(turns)
    wanted = [k / most for k in range(most)]
    return tuple(sorted({min(turns, key=lambda i: abs(blocks[i].share - at)) for at in wanted}))


def _traced(module: nn.Module, tensors: Any) -> tuple[dict[str, list[_Call]], int]:
    """Every run of every submodule, by name, and the operations of the whole."""
    calls: dict[str, list[_Call]] = {}
    total = 0

    def watch(name: str, part: nn.Module) -> Iterator[Any]:
        def enter(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = inputs[0] if inputs else next(iter(named.values()), None)
            calls.setdefault(name, []).append(_Call(given, None))

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            nonlocal total
            calls[name][-1].left = first_tensor(output)
            total += _products(part, first_tensor(output))
            calls[name][-1].flops = total

        yield part.register_forward_pre_hook(enter, with_kwargs=True)
        yield part.register_forward_hook(leave)

    hooks = [hook for name, part in module.named_modules() if name for hook in watch(name, part)]
    try:
        with evaluating(module), torch.no_grad():
            call(module, tensors)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, total


def _products(part: nn.Module, output: Any) -> int:
    """Multiplications by the weights that are a submodule's own, by what it gives."""
    if isinstance(part, nn.Embedding | nn.EmbeddingBag) or not plain(output):
        return 0
    own = part.parameters(recurse=isinstance(part, nn.MultiheadAttention))  # whose last part doesn't run by itself
    channels = output.shape[1] if isinstance(part, _ConvNd) else output.shape[-1]
    return sum(p.numel() for p in own if p.ndim >= 2) * (output.numel() // max(1, channels))


def _ways(part: nn.Module, whole: nn.Module, calls: dict[str, list[_Call]], rows: int) -> Iterator[list[str]]:
    """Runs of blocks among the children of one submodule, in the order in which they ran."""
    named = {id(each): name for name, each in whole.named_modules()}
    once = [name for each in _children(part) if len(calls.get(name := named[id(each)], ())) == 1]
    order = {name: i for i, name in enumerate(calls)}
    way: list[str] = []
    for name in sorted(once, key=order.__getitem__):
        one = calls[name][0]
        by_row = plain(one.left) and one.left.is_floating_point() and one.left.ndim >= 2
        if not by_row or len(one.left) != rows or (way and one.entered is not calls[way[-1]][0].left):
            if len(way) > 1:
                yield way
            way = []
        if by_row and len(one.left) == rows:
            way.append(name)
    if len(way) > 1:
        yield way


def _children(part: nn.Module) -> Iterator[nn.Module]:
    for child in part.children():
        if isinstance(child, CONTAINERS):
            yield from _children(child)
        else:
            yield child


def _spared(way: list[str], calls: dict[str, list[_Call]]) -> int:
    """Operations of the way after its first block that takes any."""
    ends = [calls[name][0].flops for name in way]
    first = next((end for end in ends if end > 0), 0)
    return ends[-1] - first
