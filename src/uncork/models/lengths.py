"""Rows of unequal length through a net, so that little of its work goes into padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

CPU_TOKENS = 1024  # at once: what passes between layers stays in the cache
OTHER_TOKENS = 16 * 1024


def by_length(
    run: Callable[[Any], tuple[torch.Tensor, torch.Tensor | None]], tokens: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What `run` makes of the rows, in their order, run in parts of about one length without the padding beyond it.

    `tokens`: tensors (b, longest), rows padded at their end where "attention_mask" is 0.
    """
    mask = tokens["attention_mask"]
    lengths = mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    largest = CPU_TOKENS if mask.device.type == "cpu" else OTHER_TOKENS
    cuts, start = [], 0
    for i, length in enumerate(lengths[order].tolist()):
        if (i + 1 - start) * length > largest and i > start:
            cuts.append(i)
            start = i
    parts = []
    for rows in torch.tensor_split(order, cuts):
        longest = max(1, int(lengths[rows[-1]]))
        parts.append(run({name: part[rows, :longest] for name, part in tokens.items()}))
    back = torch.argsort(order)
    found = [features for _, features in parts if features is not None]
    return torch.cat([raw for raw, _ in parts])[back], torch.cat(found)[back] if found else None
