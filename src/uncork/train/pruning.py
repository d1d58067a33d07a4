"""Channels taken out of a net, with all that depends on them: it is really smaller, not masked.

What depends on what is torch-pruning's dependency graph (Fang et al., DepGraph, CVPR 2023). A graph can be misread
where a forward pads or reshapes channels, so a group of channels is only touched where the net without some of them
computes what the whole net computes with them silenced at every layer that reads them. That leaves the outputs alone
too.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from uncork.models.tensors import call
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

IMPORTANCES = ("magnitude", "taylor", "random")
LARGER = 4.0
SAME = 1e-4  # of the largest output, by which rounding may differ
MULTIPLE = 1e-5  # of a channel's size, that it may be off a multiple of another
MOST_COLUMNS = 4096  # read by one layer, whose products with one another are held


def pruned(
    module: nn.Module,
    example: Any,
    ratio: float,
    *,
    importance: str = "magnitude",
    gradients: Callable[[nn.Module], None] | None = None,
    seed: int = 0,
    roots: Sequence[str] | None = None,
) -> nn.Module:
    """A copy in eval mode without this share of the channels of each group; weights as they were, to be trained on.

    `example`: a batch as the module's forward takes it. `importance`: "magnitude" (L2 norm over the group), "taylor"
    (weight times gradient, which `gradients` leaves on the parameters of the module it is given), or "random", by
    `seed`. `roots`: what `prunable` has found, where that is known. The least important channels go, at least one
    stays; the outputs keep their number. Raises Unavailable where nothing can be pruned.
    """
    graph = _Graph(module, example)
    if importance == "taylor":
        assert gradients is not None, "Taylor's importance needs gradients"
        gradients(graph.module)
    doomed = {}
    for root in prunable(module, example) if roots is None else roots:
        scores = _scores(graph, root, importance, seed)
        doomed[root] = np.sort(
            np.argsort(scores, kind="stable")[: min(len(scores) - 1, int(len(scores) * ratio))]
        ).tolist()
    return graph.without(doomed)


def prunable(module: nn.Module, example: Any) -> tuple[str, ...]:
    """Layers whose output channels can go, each the first of its group. Raises Unavailable where there are none."""
    graph = _Graph(module, example)
    asked = [root for root, channels in graph.groups().items() if channels > 1 and graph.readers(root)]
    every = {root: list(range(0, graph.groups()[root], 2)) for root in asked}
    nets = (module, _larger(module))
    if every and all(_same(net, example, every) for net in nets):
        return tuple(asked)
    found = tuple(root for root in asked if all(_same(net, example, {root: every[root]}) for net in nets))
    if not found:
        raise Unavailable("no layer's channels can be taken out of this net: none is read by linear layers alone")
    return found


def merged(
    module: nn.Module, example: Any, batches: Iterable[Any], *, roots: Sequence[str] | None = None
) -> tuple[nn.Module, int]:
    """(a copy without redundant channels, how many there were): it answers the same on these batches, up to rounding.

    A channel is redundant where each layer that reads it sees a multiple of what it sees of another channel, on every
    row: by the equality case of Cauchy and Schwarz, in sums of squares and products over rows and positions. Its
    weights there, times the multiple, are added to the other's. One that is zero on all rows goes as well.
    """
    graph = _Graph(module, example)
    roots = prunable(module, example) if roots is None else roots
    readers = {root: graph.readers(root) for root in roots}
    products = _products(graph.module, {reader.layer for found in readers.values() for reader in found}, batches)
    doomed: dict[str, list[int]] = {}
    with torch.no_grad():
        for root, found in readers.items():
            if all(reader.layer in products for reader in found):
                doomed[root] = _merge(found, products)
    return graph.without(doomed), sum(map(len, doomed.values()))


@dataclass(frozen=True, eq=False)
class _Reader:
    """A layer that reads a group's channels. columns (channels, m): which of its inputs are of which channel."""

    layer: nn.Module
    columns: np.ndarray


class _Graph:
    """A copy of the module, in eval mode and open to gradients, with the graph of what depends on what in it."""

    def __init__(self, module: nn.Module, example: Any) -> None:
        try:
            from torch_pruning import DependencyGraph
        except ImportError:
            raise MissingExtra("compress", "pruning") from None
        self.module = copy.deepcopy(module).eval().requires_grad_(True)
        self.frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                self.graph = DependencyGraph().build_dependency(self.module, example_inputs=example, forward_fn=call)
        except Exception as error:  # of whatever a forward does that can't be traced
            raise Unavailable(f"what depends on what in this net can't be traced: {error}") from error
        self.names = {part: name for name, part in self.module.named_modules()}

    def groups(self) -> dict[str, int]:
        """Channels of each group, by the name of its first layer."""
        found = [group[0] for group in self.graph.get_all_groups()]
        return {self.names[dep.target.module]: len(channels) for dep, channels in found}

    def group(self, root: str, channels: Sequence[int]) -> Any:
        layer = self.module.get_submodule(root)
        return self.graph.get_pruning_group(
            layer, self.graph.get_pruner_of_module(layer).prune_out_channels, list(channels)
        )

    def readers(self, root: str) -> list[_Reader]:
        """Layers that read the group's channels; none where one of them isn't linear, so that no channel can go."""
        channels = self.graph.get_out_channels(self.module.get_submodule(root))
        group, found = self.group(root, range(channels)), []
        for item in group:
            reads = self.graph.is_in_channel_pruning_fn(item.dep.handler)
            if not reads or self.graph.is_out_channel_pruning_fn(item.dep.handler):
                continue
            layer, of = item.dep.target.module, np.asarray(item.root_idxs)
            linear = isinstance(layer, nn.Linear) or (isinstance(layer, _ConvNd) and layer.groups == 1)
            if not linear or getattr(layer, "transposed", False) or len(of) % channels:
                return []
            order = np.argsort(of, kind="stable")
            found.append(_Reader(layer, np.asarray(item.idxs)[order].reshape(channels, -1)))
        return found

    def without(self, doomed: dict[str, list[int]]) -> nn.Module:
        """The module less these channels, for good."""
        for root, channels in doomed.items():
            if channels:
                self.group(root, channels).prune()
        self.module.zero_grad(set_to_none=True)
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        return self.module


@torch.no_grad()
def _larger(module: nn.Module) -> nn.Module:
    """A copy with larger weights: what small ones blur, as attention that is nearly even, shows."""
    made = copy.deepcopy(module)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            parameter.mul_(LARGER)
    return made


def _same(module: nn.Module, example: Any, doomed: dict[str, list[int]]) -> bool:
    """Whether the net without these channels computes what it does with them silenced."""
    silenced = _Graph(module, example)
    try:
        with torch.no_grad():
            for root, channels in doomed.items():
                for reader in silenced.readers(root):
                    reader.layer.get_parameter("weight")[:, reader.columns[channels].ravel()] = 0
            ours, theirs = call(_Graph(module, example).without(doomed), example), call(silenced.module, example)
    except Exception:  # of whatever a forward does where channels don't fit
        return False
    scale = theirs.abs().max().clamp_min(1e-12)
    if not scale.isfinite():  # of large weights in a deep net: it tells nothing
        return ours.shape == theirs.shape
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= SAME * scale)


def _scores(graph: _Graph, root: str, importance: str, seed: int) -> Float[np.ndarray, " channels"]:
    from torch_pruning.pruner.importance import GroupMagnitudeImportance, GroupTaylorImportance

    channels = graph.graph.get_out_channels(graph.module.get_submodule(root))
    if importance == "random":
        drawn: np.ndarray = generator(seed, "channels", root).random(channels)
        return drawn
    scorer = GroupMagnitudeImportance(p=2) if importance == "magnitude" else GroupTaylorImportance()
    scores: np.ndarray = scorer(graph.group(root, range(channels))).detach().cpu().numpy()
    return scores


def _products(
    module: nn.Module, layers: Iterable[nn.Module], batches: Iterable[Any]
) -> dict[nn.Module, Float[np.ndarray, "columns columns"]]:
    """Of what each layer reads, the sums of products of its inputs with one another over rows and positions."""
    sums: dict[nn.Module, Any] = {}

    def see(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].detach().double()
        x = x.flatten(0, -2).T if isinstance(layer, nn.Linear) else x.transpose(0, 1).flatten(1)
        if len(x) <= MOST_COLUMNS:
            sums[layer] = sums.get(layer, 0) + (x @ x.T).cpu().numpy()

    hooks = [layer.register_forward_pre_hook(see) for layer in layers]
    try:
        with torch.no_grad():
            for batch in batches:
                call(module, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return sums


def _merge(readers: Sequence[_Reader], products: dict[nn.Module, np.ndarray]) -> list[int]:
    """Adds redundant channels' weights to those of the channels they are multiples of; returns the redundant ones."""
    same, zero = _multiples(readers, products)
    redundant: list[int] = []
    for j in range(len(same)):
        others = [int(i) for i in np.flatnonzero(same[:, j] & ~zero) if i < j and i not in redundant]
        if zero[j] and len(redundant) < len(same) - 1:
            redundant.append(j)
        elif others:
            for reader in readers:
                at, of = reader.columns[others[0]], reader.columns[j]
                own = products[reader.layer][at, at]
                times = np.divide(products[reader.layer][at, of], own, out=np.zeros_like(own), where=own > 0)
                weight = reader.layer.get_parameter("weight")
                shape = (1, -1) + (1,) * (weight.ndim - 2)
                weight[:, at] += weight[:, of] * torch.from_numpy(times).to(weight).reshape(shape)
            redundant.append(j)
    return redundant


def _multiples(
    readers: Sequence[_Reader], products: dict[nn.Module, np.ndarray]
) -> tuple[Bool[np.ndarray, "channels channels"], Bool[np.ndarray, " channels"]]:
    """(whether channel j is a multiple of channel i at every reader, whether it is zero at every one)."""
    channels = len(readers[0].columns)
    same, zero = np.ones((channels, channels), bool), np.ones(channels, bool)
    for reader in readers:
        for columns in reader.columns.T:
            product = products[reader.layer][np.ix_(columns, columns)]
            own = np.diag(product)
            bound = (1 - MULTIPLE**2) * own[:, None] * own[None, :]
            same &= (own == 0)[None, :] | ((own > 0)[:, None] & (product**2 >= bound))
            zero &= own == 0
    return same, zero
