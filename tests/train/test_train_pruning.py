"""Channels go with all that depends on them; those that repeat others go at no loss at all."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import pad, relu

from uncork.schema.errors import MissingExtra, Unavailable
from uncork.train.pruning import merged, prunable, pruned


def chain() -> nn.Sequential:
    """Three groups of channels: of 6, 8 and 12. Biases keep them alive."""
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(128, 12),
        nn.ReLU(),
        nn.Linear(12, 5),
    )
    with torch.no_grad():
        for layer in (made[1], made[7]):
            layer.bias.fill_(2.0)
    return made.eval()


@torch.no_grad()
def doubled(first: nn.Module, norm: nn.Module | None, then: nn.Module, times: list[float], block: int = 1) -> None:
    """Copies the first channels, each times a factor; the next layer's weights are shared between copy and original."""
    k = len(times)
    scale = torch.tensor(times)
    for part in (first, norm) if norm is not None else (first,):
        # Behind a norm it is the norm that scales.
        by = scale if part is (first if norm is None else norm) else torch.ones(k)
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(part, name, None)
            if tensor is None:
                continue
            factor = by if name in ("weight", "bias") else torch.ones(k)
            more = tensor[:k] * factor.reshape(-1, *[1] * (tensor.ndim - 1))
            grown = torch.cat([tensor, more])
            setattr(part, name, nn.Parameter(grown) if isinstance(tensor, nn.Parameter) else grown)
    weight = then.weight.clone()
    shared = weight[:, : k * block] / 2
    weight[:, : k * block] = shared
    over = scale.repeat_interleave(block).reshape(1, -1, *[1] * (weight.ndim - 2))
    then.weight = nn.Parameter(torch.cat([weight, shared / over], dim=1))
    for part in (first, norm, then):
        for size in ("out_channels", "out_features", "num_features"):
            if part is not then and hasattr(part, size):
                setattr(part, size, getattr(part, size) + k)
        for size in ("in_channels", "in_features"):
            if part is then and hasattr(part, size):
                setattr(part, size, getattr(part, size) + k * block)


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in module.parameters()]


def test_exactly_the_duplicated_channels_go_and_nothing_is_lost() -> None:
    """2, 3 and 1 copies, of a convolution before a norm, one that is flattened, and a linear layer; some scaled."""
    given, x = chain(), torch.randn(32, 1, 8, 8)
    net = copy.deepcopy(given)
    doubled(net[0], net[1], net[4], [1.0, 3.0])
    doubled(net[4], None, net[7], [1.0, 1.0, -1.0], block=16)
    doubled(net[7], None, net[9], [2.0])
    assert shapes(net) != shapes(given)
    torch.testing.assert_close(net(x), given(x), rtol=1e-4, atol=1e-5)
    made, redundant = merged(net, x[:4], x.split(8))
    assert redundant == 6
    assert shapes(made) == shapes(given)
    fresh = torch.randn(100, 1, 8, 8)
    torch.testing.assert_close(made(fresh), net(fresh), rtol=1e-4, atol=1e-5)
    assert shapes(net) != shapes(made)


def test_a_net_without_copies_keeps_all_of_its_channels() -> None:
    net, x = chain(), torch.randn(64, 1, 8, 8)
    made, redundant = merged(net, x[:4], [x])
    assert redundant == 0
    assert torch.equal(made(x), net(x))


def test_silent_channels_go_and_near_copies_stay() -> None:
    net, x = chain(), torch.randn(64, 1, 8, 8)
    with torch.no_grad():
        net[7].weight[2], net[7].bias[2] = 0, -1.0
        net[7].weight[3], net[7].bias[3] = 1.01 * net[7].weight[4], net[7].bias[4]
    made, redundant = merged(net, x[:4], [x])
    assert redundant == 1
    torch.testing.assert_close(made(x), net(x), rtol=1e-4, atol=1e-5)


class Residual(nn.Module):
    """A stream of 6 channels that two layers write to and two read; `padded`: it is widened by channels of zeros."""

    def __init__(self, padded: bool = False) -> None:
        super().__init__()
        self.padded, wide = padded, 12 if padded else 6
        self.enter = nn.Conv2d(1, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.back = nn.Conv2d(8, wide, 3, padding=1)
        self.head = nn.Linear(wide, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        way = pad(x, (0, 0, 0, 0, 3, 3)) if self.padded else x
        x = way + self.back(relu(self.norm(self.inner(x))))
        out: torch.Tensor = self.head(relu(x).mean(dim=(2, 3)))
        return out


def test_a_residual_stream_goes_as_one_and_a_padded_one_stays() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 1, 8, 8)
    assert set(prunable(Residual().eval(), x)) == {"enter", "inner"}
    half = pruned(Residual(), x, 0.5)
    assert [half.enter.out_channels, half.inner.out_channels, half.head.in_features] == [3, 4, 3]
    assert half(x).shape == (4, 3)
    padded = Residual(padded=True)
    assert prunable(padded, x) == ("inner",)
    assert pruned(padded, x, 0.5).head.in_features == 12


def test_copies_in_a_residual_stream_are_merged() -> None:
    torch.manual_seed(1)
    net, x = Residual().eval(), torch.randn(32, 1, 8, 8)
    with torch.no_grad():
        for layer in (net.enter, net.back):
            layer.weight[5], layer.bias[5] = layer.weight[0], layer.bias[0]
    made, redundant = merged(net, x[:4], [x])
    assert redundant == 1
    assert made.enter.out_channels == made.back.out_channels == made.head.in_features == 5
    torch.testing.assert_close(made(x), net(x), rtol=1e-4, atol=1e-5)


def test_attention_stays_whole_and_what_is_between_goes() -> None:
    """Heads are cut by a fixed shape; the layer's feed-forward part is a chain."""
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.layer(self.embed(ids) * scale[..., None]).mean(dim=1))
            return out

    x = {"ids": torch.randint(0, 50, (4, 7)), "scale": torch.rand(4, 7)}
    net = Reader()
    assert prunable(net, x) == ("layer.linear1",)
    small = pruned(net, x, 0.25)
    assert small.layer.linear1.out_features == 24
    assert small(**x).shape == (4, 3)


class Even(nn.Module):
    """Attention of heads of 4, as many as the channels make, so small that it looks at all rows alike."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.back = (nn.Linear(16, 16) for _ in range(4))
        self.wide, self.narrow, self.head = nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 3)
        with torch.no_grad():
            for layer in (self.query, self.key):
                layer.weight *= 1e-2
                layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part(x).unflatten(2, (-1, 4)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.back(seen)
        out: torch.Tensor = self.head((x + self.narrow(relu(self.wide(x)))).mean(dim=1))
        return out


def test_heads_that_would_be_mixed_are_seen_to_be() -> None:
    torch.manual_seed(0)
    net, x = Even(), torch.randn(4, 6, 16)
    assert prunable(net, x) == ("wide",)


def linear() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))


def test_the_smallest_norms_go() -> None:
    """By hand: of each unit the squared weights into and out of it."""
    net = linear()
    size = (net[0].weight ** 2).sum(dim=1) + (net[2].weight ** 2).sum(dim=0)
    kept = size.argsort()[4:].sort().values
    made = pruned(net, torch.randn(3, 5), 0.5)
    assert torch.equal(made[0].weight, net[0].weight[kept])
    assert torch.equal(made[2].weight, net[2].weight[:, kept])
    assert net[0].out_features == 8


def test_taylor_s_importance_is_weight_times_gradient() -> None:
    """By hand: of each unit |w · g| over the weights into it and over those out of it, summed as the library does."""
    net, x = linear(), torch.randn(50, 5)

    def gradients(module: nn.Module) -> None:
        module(x).pow(2).sum().backward()

    graded = copy.deepcopy(net)
    gradients(graded)
    into, out = ((graded[i].weight * graded[i].weight.grad).abs() for i in (0, 2))
    kept = (into.sum(dim=1) + out.sum(dim=0)).argsort()[4:].sort().values
    made = pruned(net, x[:3], 0.5, importance="taylor", gradients=gradients)
    assert torch.equal(made[0].weight, net[0].weight[kept])
    assert made[0].weight.grad is None


def test_random_channels_go_by_the_seed_alone() -> None:
    net, x, state = linear(), torch.randn(3, 5), torch.get_rng_state()
    made = [pruned(net, x, 0.5, importance="random", seed=seed)[0].weight for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert torch.equal(state, torch.get_rng_state())


def test_one_channel_stays_and_what_was_frozen_is() -> None:
    net = linear()
    net[0].requires_grad_(False)
    made = pruned(net, torch.randn(3, 5), 1.0)
    assert made[0].out_features == 1
    assert [p.requires_grad for p in made.parameters()] == [False, False, True, True]
    assert not net[0].weight.requires_grad


class Fixed(nn.Module):
    """Its forward knows how many units there are."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.two(self.one(x).reshape(-1, 2, 3).sum(dim=1))
        return out


@pytest.mark.parametrize("build", [lambda: nn.Linear(4, 2), Fixed])
def test_where_nothing_can_go_it_says_so(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(Unavailable, match="no layer's channels"):
        pruned(build(), torch.randn(2, 4), 0.5)


def test_without_the_extra_it_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingExtra, match=r"uncork\[compress\]"):
        prunable(linear(), torch.randn(2, 5))


def test_rows_of_zeros_are_no_evidence_against_a_channel_alone() -> None:
    """On rows that are all zero nothing is told apart from nothing: but one channel always stays."""
    net = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 2)).eval()
    made, redundant = merged(net, torch.randn(2, 4), [torch.zeros(8, 4)])
    assert redundant == 5
    np.testing.assert_allclose(made(torch.zeros(1, 4)).detach(), net(torch.zeros(1, 4)).detach(), rtol=1e-6)
