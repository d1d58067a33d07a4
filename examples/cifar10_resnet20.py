"""A third-party checkpoint on real pictures: ResNet-20 on CIFAR-10, measured rather than believed.

    uncork audit examples/cifar10_resnet20.py:subject --describe-only   # all 10,000 test pictures: a minute or two
    uncork audit examples/cifar10_resnet20.py:subject                   # half of test is set aside to choose on
    uncork treat runs/cifar10_resnet20

The data are not part of uncork. The folder that holds cifar10.npz and weights/resnet20-12fca82f.th is looked for
beside the repository, in shared/data, or where the environment variable UNCORK_SHARED says. The weights are
akamaster/pytorch_resnet_cifar10's (BSD-2-Clause); the net is written anew from He et al., "Deep residual learning for
image recognition", 2015, section 4.2: three stages of 16, 32 and 64 channels, three blocks of two convolutions each,
and shortcuts without parameters (option A). The train rows given are the first 10,000 of the 50,000 that it was
trained on: enough to look for copies of test in them, no reason to trust a gap between train and test.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad, relu

from uncork import BadInput, Split, Subject, load_weights

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # of ImageNet, as its author trained it
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Block(nn.Module):
    """Two 3 × 3 convolutions and a shortcut past them."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.stride, self.added = wide // narrow, wide - narrow
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Option A: every other pixel, and channels of zeros on both sides where the block widens.
        shortcut = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return relu(shortcut + self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))


class ResNet20(nn.Module):
    """6 · 3 + 2 = 20 layers with weights, 0.27 million of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 16))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def preprocess(batch: torch.Tensor) -> torch.Tensor:
    """(b, 32, 32, 3) bytes → (b, 3, 32, 32) normalised floats."""
    return (batch.permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


def shared(name: str) -> Path:
    """A file of the shared data. Raises BadInput, saying where it was looked for."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("UNCORK_SHARED", beside)) / name
    if not path.is_file():
        raise BadInput(f"there is no {path}: set UNCORK_SHARED to the folder that holds {name}")
    return path


def subject() -> Subject:
    model = load_weights(ResNet20(), shared("weights/resnet20-12fca82f.th"))
    with np.load(shared("cifar10.npz"), allow_pickle=False) as data:
        train, test = (Split(data[f"x_{name}"], data[f"y_{name}"]) for name in ("train", "test"))
    return Subject(model, train=train, test=test, preprocess=preprocess, classes=CLASSES)
