"""Batches on their way into a torch module, for auditing and for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork.models.base import frame_matrix, is_frame
from uncork.schema.errors import BadInput

#: What modules raise when a batch doesn't suit them; anything else is a fault in the user's code, and is left alone.
REFUSALS = (RuntimeError, ValueError, IndexError)


def to_tensors(batch: Any, preprocess: Callable[[Any], Any] | None) -> Any:
    """A batch from a Split → what `preprocess` makes of it: a tensor, or a mapping of tensors (tokens), on the CPU.

    `preprocess` gets a tensor (b, …), or the list of str. Raises BadInput for texts without one.
    """
    if is_frame(batch):
        batch = frame_matrix(batch)
    if isinstance(batch, np.ndarray):
        batch = torch.from_numpy(np.ascontiguousarray(batch))
    if preprocess is not None:
        batch = preprocess(batch)
    if isinstance(batch, np.ndarray):
        batch = torch.from_numpy(batch)
    if not isinstance(batch, torch.Tensor | Mapping):
        how = "give" if preprocess is None else "let"
        raise BadInput(
            f"x: a torch model needs tensors but gets {type(batch).__name__}: {how} Subject(preprocess=…) "
            "turn a batch into a tensor or a dict of tensors"
        )
    return batch


def place(batch: Any, like: torch.Tensor) -> Any:
    """Moves to the device of the parameter `like`; floats of another width take its dtype."""
    if isinstance(batch, Mapping):
        return {name: place(part, like) for name, part in batch.items()}
    if not isinstance(batch, torch.Tensor):
        return batch
    return batch.to(like.device, like.dtype) if batch.is_floating_point() else batch.to(like.device)


def reference(module: nn.Module) -> torch.Tensor:
    """The parameter (or buffer) whose device and dtype batches take: the first that holds floats."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor
    return torch.empty(0)


def call(module: nn.Module, batch: Any) -> torch.Tensor:
    """The module's output tensor (or its `.logits`), for a tensor or a mapping of keyword arguments."""
    out = module(**batch) if isinstance(batch, Mapping) else module(batch)
    out = getattr(out, "logits", out)
    if not isinstance(out, torch.Tensor):
        raise BadInput(f"the model returns {type(out).__name__}: wrap it so that it returns one tensor of outputs")
    return out


def refusal(error: Exception, batch: Any, module: nn.Module, preprocessed: bool) -> BadInput:
    """What to tell the user when a module raised `error` on a batch."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(batch, torch.Tensor) and not batch.is_floating_point() and not preprocessed and not _embeds(module):
        kind = str(batch.dtype).removeprefix("torch.")
        values = f" {int(batch.min())}–{int(batch.max())}" if batch.numel() else ""
        scale = " / 255" if batch.dtype == torch.uint8 else ""
        return BadInput(
            f"x holds {kind} values{values} but the model's weights are {str(reference(module).dtype)[6:]}: "
            f"give Subject(preprocess=lambda x: x.float(){scale})"
        )
    parts = batch if isinstance(batch, Mapping) else {"": batch}
    shapes = ", ".join(f"{name} {tuple(part.shape[1:])}".strip() for name, part in parts.items())
    return BadInput(
        f"x: the model refuses rows of shape {shapes}: {first}: give rows as in training, or Subject(preprocess=…)"
    )


def _embeds(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules())
