"""A torch module as a Model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from uncork.models.base import Output, rows_in
from uncork.models.code import code_fingerprint
from uncork.models.lengths import by_length
from uncork.models.program import Program
from uncork.models.reading import Reading
from uncork.models.tensors import REFUSALS, call, place, reference, refusal, to_tensors
from uncork.schema.errors import BadInput


class TorchModel(Reading):
    """`preprocess`: applied to every batch, as a tensor. `features`: submodule whose input counts as the features.

    Without `features` they are the input of the last Linear that runs, once it is verified that the logits are
    W f + b of it; TorchScript and torch.export programs show no layers, and so have none. Of outputs see `Reading`;
    `describe` says how they are read. `n_outputs` is 0 until a batch has run; `adapt` runs one. What a `preprocess`
    with a true `padded` has padded runs sorted by length.
    """

    has_inputs = True
    accepts_nan = False
    classes: tuple[str, ...] | None = None

    def __init__(
        self,
        module: nn.Module,
        *,
        task: str,
        preprocess: Callable[[Any], Any] | None = None,
        features: str | None = None,
    ) -> None:
        super().__init__(task)
        self.module, self.preprocess = module, preprocess
        named = dict(module.named_modules())
        if features is not None and isinstance(module, Program):
            raise BadInput(f"features={features!r}: {module.hidden}")
        if features is not None and features not in named:
            some = ", ".join(name for name in list(named)[1:13])
            raise BadInput(f"features={features!r} names no submodule of the model: it has {some}")
        self._layer: str | None = features
        self._features = f"input of {features}, as told" if features else "not asked for yet"
        self._searched = features is not None
        if isinstance(module, Program):
            self._searched, self._features = True, f"none: {module.hidden}"

    def told(self, preprocess: Callable[[Any], Any] | None, features: str | None) -> TorchModel:
        """The same module with the preprocess and features given, else its own."""
        if preprocess in (None, self.preprocess) and features in (None, self._layer):
            return self
        own = self._layer if self._told() else None
        other = TorchModel(
            self.module, task=self.task, preprocess=preprocess or self.preprocess, features=features or own
        )
        other.classes = self.classes
        return other

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits (b, K) and, where asked and found, features (b, d). The module's training mode is left as it was."""
        with evaluating(self.module), torch.inference_mode():
            tensors = place(to_tensors(batch, self.preprocess), reference(self.module))
            if getattr(self.preprocess, "padded", False):
                raw, found = by_length(lambda part: self._forward(part, features), tensors)
            else:
                raw, found = self._forward(tensors, features)
            out = raw.float().cpu().numpy()
        rounded = torch.finfo(raw.dtype).eps if raw.is_floating_point() else 0.0
        logits = self._logits(out, rows_in(batch), rounded)
        kept = None if found is None else found.flatten(1).float().cpu().numpy()
        return Output(logits, kept)

    def _forward(self, tensors: Any, features: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        layers = self._layers() if features else {}
        seen: list[tuple[str, torch.Tensor]] = []

        def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            return lambda _, inputs: seen.append((name, inputs[0])) if inputs else None

        hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
        try:
            raw = call(self.module, tensors)
        except REFUSALS as error:
            raise refusal(error, tensors, self.module, self.preprocess is not None) from error
        finally:
            for hook in hooks:
                hook.remove()
        if features and not self._searched:
            self._settle_features(seen[-1] if seen else None, raw)
        return raw, seen[-1][1] if seen and self._layer is not None else None

    def _layers(self) -> dict[str, nn.Module]:
        """The submodules whose input to watch: every Linear until the layer is settled, then that one."""
        if self._layer is not None:
            return {self._layer: self.module.get_submodule(self._layer)}
        if self._searched:
            return {}
        return {name: part for name, part in self.module.named_modules() if isinstance(part, nn.Linear)}

    def _settle_features(self, last: tuple[str, torch.Tensor] | None, raw: torch.Tensor) -> None:
        self._searched = True
        if last is None:
            self._features = "none: no Linear layer ran; name a submodule with Subject(features=…)"
            return
        name, inputs = last
        layer = self.module.get_submodule(name)
        again = nn.functional.linear(inputs, layer.weight, layer.bias) if isinstance(layer, nn.Linear) else inputs
        same_size = inputs.ndim == 2 and again.numel() == raw.numel()
        if same_size and torch.allclose(again.reshape(raw.shape).float(), raw.float(), rtol=1e-3, atol=1e-3):
            self._layer = name
            self._features = f"input of {name or 'the model'}; logits = W f + b verified"
            return
        self._features = (
            f"none: the logits are not W f + b of the last Linear, {name}; name a submodule with Subject(features=…)"
        )

    def fingerprint(self) -> str:
        """Hash of weights, buffers, the code and plain attributes of each part, task, preprocess and features."""
        code = "" if self.preprocess is None else code_fingerprint(self.preprocess)
        if isinstance(self.module, Program):
            told = (self.module.kind, self.task, code)
            return hashlib.blake2b(repr(told).encode() + self.module.content, digest_size=16).hexdigest()
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.module, self.task, code, self._layer if self._told() else None)).encode())
        digest.update(_code_of(self.module).encode())
        for name, tensor in self.module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                flat = tensor.detach().cpu().contiguous().reshape(-1)
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(flat.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _told(self) -> bool:
        return self._features.endswith("as told")

    def describe(self) -> dict[str, Any]:
        parameters = list(self.module.parameters())
        program = self.module if isinstance(self.module, Program) else None
        unread: str = getattr(self.preprocess, "note", "")
        return {
            "kind": "torch",
            "class": type(self.module).__qualname__ if program is None else program.kind,
            "parameters": sum(p.numel() for p in parameters),
            "bytes": sum(p.numel() * p.element_size() for p in parameters),
            "device": str(reference(self.module).device),
            "feature_layer": self._layer,
            "features": self._features,
            "note": "; ".join(note for note in (self._note(), program.note if program else "", unread) if note),
        }


def _code_of(module: nn.Module) -> str:
    """Forward code of every class of submodule, and the attributes that neither weights nor printed form tell of."""
    kinds: dict[type, str] = {}
    told = []
    for name, part in module.named_modules():
        kind = type(part)
        if kind not in kinds:
            kinds[kind] = code_fingerprint(kind)
        plain = {key: value for key, value in vars(part).items() if key != "training" and _lasting(key, value)}
        generated = getattr(part, "code", "")  # of torch.fx and TorchScript, which have no class of their own
        told.append((name, kinds[kind], generated, code_fingerprint(plain)))
    return repr(told)


def _lasting(name: str, value: Any) -> bool:
    """Not what a forward pass has left on the module."""
    passing = isinstance(value, torch.Tensor) and (value.is_inference() or value.grad_fn is not None)
    return not name.startswith("_") and not passing


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards exactly the submodules that were training are training again."""
    training = [part for part in module.modules() if getattr(part, "training", False)]  # frozen TorchScript has none
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True
