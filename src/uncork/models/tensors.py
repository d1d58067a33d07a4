"""Batches on their way into a torch module, for auditing and for training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork.models.base import all_numbers, frame_matrix, in_order, is_frame
from uncork.schema.errors import BadInput

#: What modules raise when a batch doesn't suit them; anything else is a fault in the user's code, and is left alone.
REFUSALS = (RuntimeError, ValueError, IndexError)


def to_tensors(batch: Any, preprocess: Callable[[Any], Any] | None) -> Any:
    """A batch from a Split → what `preprocess` makes of it: a tensor, or a mapping of tensors (tokens), on the CPU.

    `preprocess` gets a tensor (b, …), a mapping of tensors, the list of str, or of tables that hold more than numbers
    the DataFrame. Raises BadInput for texts and such tables without one.
    """
    if is_frame(batch) and (preprocess is None or all_numbers(batch)):
        batch = frame_matrix(batch)
    batch = _tensors(batch)
    if preprocess is not None:
        batch = _tensors(preprocess(batch))
    if not isinstance(batch, torch.Tensor | Mapping):
        how = "give" if preprocess is None else "let"
        raise BadInput(
            f"x: a torch model needs tensors but gets {type(batch).__name__}: {how} Subject(preprocess=…) "
            "turn a batch into a tensor or a dict of tensors"
        )
    return batch


def _tensors(batch: Any) -> Any:
    """Arrays as tensors, those of a mapping too."""
    if isinstance(batch, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(batch))
    if isinstance(batch, Mapping) and any(isinstance(part, np.ndarray) for part in batch.values()):
        return {name: _tensors(part) if isinstance(part, np.ndarray) else part for name, part in batch.items()}
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
    """The module's output tensor (or its `.logits`), for a tensor or a mapping of several inputs.

    Those are given by name where `forward` has the names, else in the mapping's order, else, to one that takes a single
    argument, as the mapping itself. Raises BadInput where none of these fits, or the output is no tensor.
    """
    try:
        out = of_inputs(module, batch) if isinstance(batch, Mapping) else module(batch)
    except AssertionError as error:
        if not str(error).startswith("Guard failed"):  # by which torch.export refuses other shapes than it has seen
            raise
        raise ValueError(str(error)) from error
    out = getattr(out, "logits", out)
    if not isinstance(out, torch.Tensor):
        raise BadInput(f"the model returns {type(out).__name__}: wrap it so that it returns one tensor of outputs")
    return out


def of_inputs(module: nn.Module, batch: Mapping[str, Any]) -> Any:
    """Whatever the module returns for several inputs, given as `call` says."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):  # of what is no Python function
        return module(**batch)
    for inputs, named in (((), batch), (tuple(batch.values()), {})):
        try:
            signature.bind(*inputs, **named)
        except TypeError:
            continue
        return module(*(in_order(list(signature.parameters), batch) if inputs else ()), **named)
    if len(signature.parameters) == 1:
        try:
            return module(dict(batch))
        except (KeyError, TypeError) as error:
            raise BadInput(
                f"x: the model takes one argument, and refuses a mapping of {', '.join(batch)} as that "
                f"({type(error).__name__}: {str(error).splitlines()[0]}): name the inputs as it does"
            ) from error
    raise BadInput(
        f"x: its inputs are {', '.join(batch)}, but the model's forward takes {', '.join(signature.parameters)}: give "
        "x={name: array} by these names, or Subject(preprocess=…)"
    )


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
