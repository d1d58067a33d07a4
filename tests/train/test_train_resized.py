"""Nets of other sizes than build makes are made again from what is told of them, and answer the same."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from uncork.schema.errors import BadInput
from uncork.train.low_rank import LowRank, factored, low_rank, ranks_of, separable
from uncork.train.pruning import pruned
from uncork.train.resized import Resized, again, changed, sizes_changed


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 12, 3, stride=2, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.Conv2d(12, 10, 1, bias=False),
        nn.Flatten(),
        nn.Linear(160, 20),
        nn.LayerNorm(20),
        nn.Linear(20, 4),
    )


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_pruned_then_taken_apart_and_made_again(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = build()
    small = pruned(net, x, 0.5)
    sizes = sizes_changed(net, small)
    ranks = {"6": 3}
    thin = low_rank(small, ranks)
    maker = again(again(build, sizes), {"ranks": ranks})
    told = json.loads(json.dumps(maker.changes))
    for made in (maker(), changed(build(), told)):
        made.load_state_dict(thin.state_dict())
        assert torch.equal(made.eval()(x), thin(x))
    assert maker.build is build
    assert sizes["sizes"]["3"] == {"in_channels": 6, "out_channels": 6, "groups": 6}
    assert sizes["shapes"]["1.running_var"] == [6]


def test_what_it_builds_is_fresh(x: torch.Tensor) -> None:
    net = build()
    maker = Resized(build, [sizes_changed(net, pruned(net, x, 0.5))])
    torch.manual_seed(1)
    one, other = maker(), maker()
    assert not torch.equal(one[0].weight, other[0].weight)
    bound = (2 * 9) ** -0.5  # torch's own, by the inputs of one output
    assert 0.7 * bound < one[0].weight.abs().max() <= bound
    assert torch.equal(one[1].running_var, torch.ones(6))


def test_another_build_is_refused(x: torch.Tensor) -> None:
    net = build()
    sizes = sizes_changed(net, pruned(net, x, 0.5))
    with pytest.raises(BadInput, match="build makes Linear, which is not the net"):
        changed(nn.Linear(2, 2), [sizes])
    with pytest.raises(BadInput, match="build makes Linear"):
        changed(nn.Linear(2, 2), [{"ranks": {"0.conv": 2}}])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(16, 24),
        nn.Conv2d(4, 16, 3, stride=2, padding=2, dilation=2, padding_mode="circular"),
        nn.Conv2d(4, 16, (1, 3), padding="same", bias=False),
    ],
)
def test_what_is_lost_is_the_singular_values_left_out(layer: nn.Module) -> None:
    """Eckart and Young: the squared distance of the weights is the sum of the squares left out."""
    one, two = low_rank(nn.Sequential(layer), {"0": 3})[0]
    matrix = layer.weight.detach().flatten(1).double()
    product = two.weight.detach().flatten(1).double() @ one.weight.detach().flatten(1).double()
    left_out = (torch.linalg.svdvals(matrix)[3:] ** 2).sum()
    torch.testing.assert_close(((matrix - product) ** 2).sum(), left_out, rtol=1e-5, atol=1e-9)


def test_a_layer_of_low_rank_loses_nothing(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = build()
    with torch.no_grad():
        net[0].weight.copy_((torch.randn(12, 2) @ torch.randn(2, 18)).reshape(12, 2, 3, 3))
    ranks = ranks_of(net, 1 - 1e-9)
    assert ranks == {"0": 2}
    thin = low_rank(net, ranks)
    assert isinstance(thin[0], LowRank)
    torch.testing.assert_close(thin(x), net.eval()(x), rtol=1e-4, atol=1e-5)
    assert ranks_of(thin, 0.5).keys() == ranks_of(net, 0.5).keys() - {"0"}
    assert isinstance(factored(nn.Linear(8, 8), {"": 2}), LowRank)


def test_the_energy_is_what_stays() -> None:
    net = nn.Sequential(nn.Linear(10, 10, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.diag(torch.tensor([3.0, 2, 1, 1, 1, 0, 0, 0, 0, 0])))
    # Squares 9, 4, 1, 1, 1 of 16.
    assert ranks_of(net, 9 / 16) == {"0": 1}
    assert ranks_of(net, 0.6) == {"0": 2}
    assert ranks_of(net, 0.85) == {"0": 3}
    assert ranks_of(net, 1.0) == {}  # two layers of rank 5 take as much as one


def test_layers_whose_weights_the_net_reads_itself_stay_whole() -> None:
    """torch's encoder layer does in eval mode; others may be in two."""
    layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(48, 40)).eval()
    ranks, x = ranks_of(net, 0.5), torch.randn(4, 3, 16)
    assert set(ranks) == {"0.linear1", "0.linear2", "2"}
    found = separable(net, ranks, x)
    assert found == {"2": ranks["2"]}
    assert low_rank(net, found)(x).shape == (4, 40)
    assert separable(net[2], {"": 3}, x.flatten(1)) == {"": 3}


def test_what_build_froze_stays_frozen(x: torch.Tensor) -> None:
    def frozen() -> nn.Module:
        net = build()
        net[0].requires_grad_(False)
        return net

    net = frozen()
    made = Resized(frozen, [sizes_changed(net, pruned(net, x, 0.5))])()
    assert made[0].weight.shape != net[0].weight.shape
    assert [p.requires_grad for p in made.parameters()] == [p.requires_grad for p in net.parameters()]
