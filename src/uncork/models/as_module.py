"""A model with all that was put around it as one torch module, so that all of it exports as one ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from uncork.models.base import Model
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Guarded
from uncork.models.on_features import OnFeatures
from uncork.models.onnx_model import OnnxModel
from uncork.models.steps import STEPS, Rows, Said, Step, logarithm, sure_of
from uncork.models.tensors import call, place, reference
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable


def files_of(model: Model) -> list[OnnxModel]:
    """The ONNX files at the bottom of a model, in the order in which `as_module` asks them."""
    if isinstance(model, OnnxModel):
        return [model]
    parts = model.models if isinstance(model, Ensemble) else [getattr(model, "inner", None)]
    if isinstance(model, OnFeatures):
        parts = [model.encoder.inner] if model.encoder is not None else []
    return [f for part in (*parts, getattr(model, "fallback", None)) if part is not None for f in files_of(part)]


def as_module(model: Model) -> nn.Module:
    """A module from Rows to Said. A torch model must have run on a batch before, which settles how it is read.

    Raises Unavailable with the reason for what can't be a part of an ONNX file.
    """
    return _Maker().of(model)


class _Maker:
    """Counts the files on the way."""

    def __init__(self) -> None:
        self.files = 0

    def of(self, model: Model) -> nn.Module:
        if isinstance(model, TorchModel):
            if reference(model.module).dtype == torch.bfloat16:
                raise Unavailable(
                    "its net is in bfloat16, which onnxruntime can't compute in: export the one before that"
                )
            return _Net(model)
        if isinstance(model, OnnxModel):
            self.files += 1
            return _File(self.files - 1, model)
        if isinstance(model, Ensemble):
            return _Ensemble([self.of(member) for member in model.models], model.weights, model.task)
        if isinstance(model, OnFeatures) and model.encoder is not None:
            inner = self.of(model.encoder.inner)
            if isinstance(inner, _Net):
                inner.whole = bool(model.encoder.whole)
            return _Head(inner, model)
        if isinstance(model, Guarded):
            inner = self.of(model.inner)
            return _Guarded(inner, model.threshold, None if model.fallback is None else self.of(model.fallback))
        if type(model) in STEPS:
            return STEPS[type(model)](self.of(model.inner), model)  # type: ignore[attr-defined]
        raise Unavailable(_refusal(model))


def _refusal(model: Model) -> str:
    why = {
        "Smoothed": "it draws noise from each row's own bytes, which no ONNX operator does: export the model inside it",
        "EarlyExit": "its easy rows leave the net early, which no ONNX operator does: export the net inside it",
        "Viewed": "its views of a row are made by NumPy: export the model inside it",
        "SklearnModel": "it is an estimator: convert it with skl2onnx, and audit the file",
        "PredictionsModel": "there are predictions alone: give the model itself",
    }.get(type(model).__name__, "uncork doesn't know what it is made of: export it yourself")
    return f"a model of type {type(model).__name__} can't be a part of an ONNX file: {why}"


class _Net(nn.Module):
    """A torch module, its preprocess before it. `whole`: its outputs are features of what comes after."""

    whole = False

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.module, self.preprocess, self.reading = model.module, model.preprocess, Reader.of(model)
        self.layer: str | None = model.describe()["feature_layer"]

    def forward(self, rows: Rows) -> Said:
        batch = rows.x if self.preprocess is None else self.preprocess(rows.x)
        raw, features = _hooked(self.module, self.layer, place(batch, reference(self.module)))
        if self.whole:
            return Said(raw.float(), raw.flatten(1).float())
        return Said(self.reading(raw), features)


def with_features(model: TorchModel) -> nn.Module:
    """The model's module with two outputs: its own, and its features. Raises Unavailable where it has none; a batch
    must have run with features asked."""
    if model.describe()["feature_layer"] is None:
        raise Unavailable(f"no features: {model.describe()['features']}")
    return _WithFeatures(model)


class _WithFeatures(nn.Module):
    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.module, self.layer = model.module, str(model.describe()["feature_layer"])

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw, features = _hooked(self.module, self.layer, named or inputs[0])
        assert features is not None
        return raw, features


def _hooked(module: nn.Module, layer: str | None, batch: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(the module's output, what came last into the layer, (b, d) float32)."""
    seen: list[torch.Tensor] = []
    if layer is None:
        return call(module, batch), None
    hook = module.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        raw = call(module, batch)
    finally:
        hook.remove()
    return raw, seen[-1].flatten(1).float()


class _File(nn.Module):
    """An ONNX file, whose outputs are joined to this module's inputs afterwards."""

    def __init__(self, at: int, model: OnnxModel) -> None:
        super().__init__()
        self.at, self.reading = at, Reader.of(model)

    def forward(self, rows: Rows) -> Said:
        raw, features = rows.of_files[self.at]
        return Said(self.reading(raw), features)


class Reader(NamedTuple):
    """How a net's outputs are read; see `uncork.models.reading`."""

    regression: bool
    probabilities: bool

    @staticmethod
    def of(model: TorchModel | OnnxModel) -> Reader:
        return Reader(model.task == "regression", bool(model._probabilities))

    def __call__(self, raw: torch.Tensor) -> torch.Tensor:
        out = raw.float().reshape(raw.shape[0], -1)
        if self.regression:
            return out
        if self.probabilities:
            return logarithm(torch.cat([1 - out, out], dim=1) if out.shape[1] == 1 else out)
        return torch.cat([torch.zeros_like(out), out], dim=1) if out.shape[1] == 1 else out


class _Head(Step):
    def __init__(self, inner: nn.Module, model: OnFeatures) -> None:
        super().__init__(inner, weight=model.weight, bias=model.bias)

    def changed(self, said: Said, rows: Rows) -> Said:
        assert said.features is not None
        return said._replace(
            logits=nn.functional.linear(said.features, self.get_buffer("weight"), self.get_buffer("bias"))
        )


class _Ensemble(nn.Module):
    def __init__(self, members: Sequence[nn.Module], weights: np.ndarray, task: str) -> None:
        super().__init__()
        self.members, self.weights = nn.ModuleList(members), weights.tolist()
        self.regression = task == "regression"

    def forward(self, rows: Rows) -> Said:
        said: list[Said] = [member(rows) for member in self.members]
        each = [one.logits.double() for one in said]
        each = each if self.regression else [logits.softmax(dim=1) for logits in each]
        mean = torch.stack([w * one for w, one in zip(self.weights, each, strict=True)]).sum(dim=0)
        found = Said(mean.float() if self.regression else logarithm(mean), said[0].features)
        for one in said:
            found = found if one.answered is None else found.but(one.answered)
        return found


class _Guarded(Step):
    def __init__(self, inner: nn.Module, threshold: float, fallback: nn.Module | None) -> None:
        super().__init__(inner)
        self.threshold, self.fallback = threshold, fallback

    def changed(self, said: Said, rows: Rows) -> Said:
        first = said.but(sure_of(said.logits) >= self.threshold)
        if self.fallback is None:
            return first
        second: Said = self.fallback(rows)
        taken = second.but(sure_of(second.logits) >= self.threshold).answered
        assert first.answered is not None
        assert taken is not None
        by_fallback = (~first.answered & taken).unsqueeze(1)
        return first._replace(
            logits=torch.where(by_fallback, second.logits, first.logits), answered=first.answered | taken
        )
