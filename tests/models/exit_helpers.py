"""A net that is solved by hand: some rows are decided after its first block, the others after its third."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn


def planted() -> nn.Sequential:
    """(a, b, c) → the sign of a, where it isn't 0; else whether b and c differ: no linear head tells it before block 3.

    Each of b and c is 1 or −1.
    """
    a, b, c = np.eye(3)
    first = [a, -a, b, -b, c, -c]
    wide = np.eye(6)
    differ = wide[2] - wide[3] - wide[4] + wide[5]
    third = [wide[0], wide[1], differ, -differ]
    apart = np.array([2.0, -2.0, 1.0, 1.0])  # relu(a), relu(−a), and the two halves of |b − c|
    fourth = [*np.eye(4), *np.zeros((4, 4))]
    last = np.array([np.zeros(8), np.concatenate([4 * apart, np.zeros(4)])])
    net = nn.Sequential(
        *(part for rows in (first, wide, third, fourth) for part in (_linear(rows), nn.ReLU())), _linear(last)
    )
    with torch.no_grad():
        net[-1].bias[1] = -4.0  # where a is 0, |b − c| is 0 or 2
    return net.eval()


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """((n, 3) float32, labels, which are easy), every other row on average."""
    rng = np.random.default_rng(seed)
    easy, side, b, c = (rng.integers(0, 2, n) for _ in range(4))
    x = np.stack([easy * (4 * side - 2), 2 * b - 1, 2 * c - 1], axis=1).astype(np.float32)
    return x, np.where(easy, side, b != c).astype(np.int64), easy.astype(bool)


def _linear(weight: Any) -> nn.Linear:
    values = torch.tensor(np.array(weight), dtype=torch.float32)
    layer = nn.Linear(values.shape[1], values.shape[0])
    with torch.no_grad():
        layer.weight.copy_(values)
        layer.bias.zero_()
    return layer
