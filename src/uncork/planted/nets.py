"""The nets that planted subjects are made of, and what can be wrong with a trained one."""

from __future__ import annotations

import copy

import torch
from torch import nn


class SmallCNN(nn.Module):
    """Two convolutions and a hidden layer. `side`: pixels of the square picture; `width` multiplies all channels."""

    def __init__(self, side: int, classes: int, width: float = 1.0, *, channels: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        first, second, hidden = (max(1, round(width * c)) for c in (16, 32, 64))
        self.features = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (side // 4) ** 2, hidden),
            nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
        )
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(x))
        return logits


class MLP(nn.Module):
    """Two hidden layers over rows of numbers. `width` multiplies the hidden units; one output is squeezed away."""

    def __init__(
        self, columns: int, outputs: int, width: float = 1.0, *, hidden: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        units = max(1, round(width * hidden))
        drop = [nn.Dropout(dropout)] if dropout else []
        self.features = nn.Sequential(
            nn.Linear(columns, units), nn.ReLU(), *drop, nn.Linear(units, units), nn.ReLU(), *drop
        )
        self.head = nn.Linear(units, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.features(x))
        return out.squeeze(1) if out.shape[1] == 1 else out


class Overconfident(nn.Module):
    """A net whose logits are multiplied: the same decisions, far too sure."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner = inner
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(x)
        return self.factor * logits


class Misread(nn.Module):
    """A net that is fed its inputs on another scale than it was trained on."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner = inner
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.inner(self.factor * x)
        return outputs


def silenced(module: nn.Module, share: float) -> nn.Module:
    """A copy whose head no longer hears the first `share` of its hidden units: a layer saved or loaded wrongly."""
    broken = copy.deepcopy(module)
    head = broken.head
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight[:, : round(share * head.in_features)] = 0.0
    return broken
