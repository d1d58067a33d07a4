"""A torch model as an ONNX model that is read in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from uncork.models.onnx_model import OnnxModel
from uncork.models.tensors import to_tensors
from uncork.models.to_onnx import onnx_bytes
from uncork.models.torch_model import TorchModel


class AsArrays:
    """What `preprocess` makes of tensors, for a model that takes arrays: a batch as a Split gives it → arrays."""

    def __init__(self, preprocess: Callable[[Any], Any]) -> None:
        self.preprocess = preprocess

    def __call__(self, batch: Any) -> Any:
        """An array, or a mapping of arrays."""
        made = to_tensors(batch, self.preprocess)
        if isinstance(made, Mapping):
            return {str(name): part.cpu().numpy() for name, part in made.items()}
        return made.cpu().numpy()


def as_onnx(model: TorchModel, batch: Any) -> OnnxModel:
    """`model` exported and run by onnxruntime; its outputs are read as the torch model's own.

    `batch`: two rows or more as a Split gives them. Sizes of rows stay open, and so does the length of texts.
    Raises what `onnx_bytes` does.
    """
    model.outputs(batch)  # settles how its outputs are read
    tensors = to_tensors(batch, model.preprocess)
    free = (0, 1) if isinstance(tensors, Mapping) else (0,)
    return in_its_place(onnx_bytes(model.module, tensors, free=free), model)


def in_its_place(content: bytes, of: TorchModel | OnnxModel) -> OnnxModel:
    """A file that does what `of` does: the same task, preprocess, classes and reading of its outputs."""
    preprocess: Any = of.preprocess
    if isinstance(of, TorchModel) and preprocess is not None:
        preprocess = AsArrays(preprocess)
    made = OnnxModel(content, task=of.task, preprocess=preprocess, output=getattr(of, "asked", None))
    made.n_outputs, made._probabilities, made.classes = of.n_outputs, of._probabilities, of.classes or made.classes
    return made
