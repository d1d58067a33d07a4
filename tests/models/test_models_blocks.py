"""The chain of blocks is found in nets of other shapes than a Sequential, and not where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from uncork.models.blocks import chain, exits
from uncork.train.parts import blocks


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv(x))


class Net(nn.Module):
    """A stem, two stages of blocks, and a head, called by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Sequential(Residual(4), Residual(4))
        self.second = nn.Sequential(Residual(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(self.norm(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))


class Twice(nn.Module):
    """One block that runs twice, and one whose input is not the other's output alone."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.block(self.block(x)) + x)


def names(module: nn.Module, *shape: int) -> list[str]:
    return [block.name for block in chain(module, torch.randn(*shape))]


def test_stages_of_blocks_are_one_chain_with_the_stem_before() -> None:
    assert names(Net(), 3, 1, 8, 8) == ["stem", "norm", "first.0", "first.1", "second.0"]


def test_shares_are_of_all_operations() -> None:
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 2)
    )
    blocks = chain(net, torch.randn(3, 4, 4))
    assert [block.name for block in blocks] == ["0", "1", "2", "3.0", "3.1", "4"]
    total = 16 * 8 + 8 * 8 + 8 * 2
    wanted = [0, 128 / total, 128 / total, 192 / total, 192 / total, 1]
    assert [block.share for block in blocks] == wanted
    assert [block.learnt for block in blocks] == [False] + 5 * [True]
    assert exits(blocks, 5) == (
        2,
    )  # behind the ReLU; before the first weights and near the end there is nothing to spare
    assert exits(blocks, 5, least_spared=0.0) == (2, 4)
    assert exits(blocks, 1, least_spared=0.0) == (2,)


def test_what_runs_twice_or_is_added_to_is_no_chain() -> None:
    assert names(Twice(), 3, 4) == []


def test_a_net_with_a_batch_along_another_axis_is_none() -> None:
    class Turned(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return super().forward(x.transpose(0, 1)).mean(dim=0)

    assert names(Turned(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), 3, 5, 4) == []


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_inside_a_masked_encoder_have_no_shape() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
            self.inner, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.inner(x, src_key_padding_mask=x[:, :, 0] > 1).mean(dim=1))

    x = torch.zeros(4, 3, 8)
    x[:2, 2, 0] = 2
    assert not any("layers" in name for name in (block.name for block in chain(Masked(), x)))
    assert blocks(Masked(), x) == ("inner",)
