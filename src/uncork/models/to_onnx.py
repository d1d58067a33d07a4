"""A torch module as the content of an ONNX file."""

from __future__ import annotations

import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork.models.tensors import of_inputs, place
from uncork.models.torch_model import evaluating
from uncork.schema.errors import BadInput, MissingExtra, Unavailable

MOST_BYTES = 2**31 - 1  # what protobuf holds


def onnx_bytes(
    module: nn.Module,
    example: Any,
    *,
    names: Sequence[str] = (),
    free: Sequence[int] = (0,),
    as_given: bool = False,
) -> bytes:
    """The content of an ONNX file of `module` in eval mode, its weights inside, by torch's exporter on torch.export.

    `example`: a batch of two rows or more as `forward` takes it: an array or tensor, a tuple of them in order, or a
    mapping, whose names the file's inputs get. `names`: of the outputs. `free`: axes of the inputs whose size is left
    open, rows alone by default. `as_given`: the inputs keep the example's types of numbers; else floats take the
    weights'. The module, its mode and its weights stay as they were.
    Raises BadInput for an example of one row, which exporters take for the only size, Unavailable with the reason where
    the exporter can't take the module, and MissingExtra without the extra `export`.
    """
    if any(importlib.util.find_spec(package) is None for package in ("onnx", "onnxscript")):
        raise MissingExtra("export", "writing ONNX files")
    size = sum(part.nbytes for part in (*module.parameters(), *module.buffers()))
    if size > MOST_BYTES:
        raise Unavailable(f"this {type(module).__name__} has {size / 1e9:.1f} GB of weights: an ONNX file holds 2 GB")
    given = _given(module, example)
    if any(len(part) < 2 for part in given.values()):
        raise BadInput("example: an exporter takes a size of one row for the only one: give two rows or more")
    like = next((weight for weight in module.parameters() if weight.is_floating_point()), torch.empty(0))
    inputs = tuple(part.to(like.device) if as_given else place(part, like) for part in given.values())
    plain = _Plain(module, tuple(given) if isinstance(example, Mapping) else ())
    dim = torch.export.Dim  # rows have to be free; of other axes those are that the module leaves so
    axes = tuple({a: dim.AUTO if a else dim.DYNAMIC for a in free if a < part.ndim} for part in inputs)
    try:
        with evaluating(module), torch.no_grad(), _quiet():
            program = torch.onnx.export(
                plain,
                inputs,
                dynamo=True,
                dynamic_shapes={"inputs": axes},
                input_names=list(given),
                output_names=list(names) or None,
                verbose=False,
            )
    except Exception as error:  # of torch.export, of the translation and of the module, which share no base
        raise Unavailable(f"torch's ONNX exporter can't take this {type(module).__name__}: {_reason(error)}") from error
    assert program is not None
    proto = program.model_proto
    for part in (
        proto,
        proto.graph,
        *proto.graph.node,
        *proto.graph.value_info,
        *proto.graph.input,
        *proto.graph.output,
    ):
        del part.metadata_props[:]  # where in the code it comes from: longer than small nets, and nobody's business
    content: bytes = proto.SerializeToString()
    return content


class _Plain(nn.Module):
    """`module` with its inputs in order, whatever way it takes them, and of its output the logits where it has them."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.names, self.training = module, names, False

    def forward(self, *inputs: torch.Tensor) -> Any:
        if self.names:
            out = of_inputs(self.module, dict(zip(self.names, inputs, strict=True)))
        else:
            out = self.module(*inputs)
        return getattr(out, "logits", out)


def _given(module: nn.Module, example: Any) -> dict[str, torch.Tensor]:
    """The example's tensors by the names that the file's inputs get: their own, else those of `forward`."""
    if isinstance(example, Mapping):
        return {str(name): torch.as_tensor(part) for name, part in example.items()}
    parts = example if isinstance(example, tuple) else (example,)
    if not parts or not all(isinstance(part, torch.Tensor | np.ndarray) for part in parts):
        raise BadInput(
            f"example: it is of type {type(example).__name__}: give tensors, as the model's forward takes them"
        )
    own = [name for name in inspect.signature(module.forward).parameters if name not in ("args", "kwargs")]
    names = own[: len(parts)] if len(own) >= len(parts) else [f"input_{i}" for i in range(len(parts))]
    return {name: torch.as_tensor(part) for name, part in zip(names, parts, strict=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is printed, warned or logged inside."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """The first line of what went wrong first: exporters wrap it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
