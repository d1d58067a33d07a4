"""A model as an attack sees it: logits with gradients where there are any, and the decision that counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from uncork.models.base import SMALLEST_PROBABILITY, Model
from uncork.models.ensemble import Ensemble
from uncork.models.offset import Offset
from uncork.models.scaled import Scaled
from uncork.models.temperature import Tempered
from uncork.models.tensors import REFUSALS, call, place, reference
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput
from uncork.stress.found import Logits
from uncork.stress.frozen import frozen

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Whose gradients an attack has: the model's own, those of the model inside a wrapper, or none.
Gradients = Literal["own", "inner", "none"]

_TRIED = 8  # rows on which the differentiable path must say what the model says


@dataclass(frozen=True, eq=False)
class Target:
    """`logits`: (b, …) x → (b, K), differentiable in x unless `gradients` is "none". `queried`: the model's own, never
    differentiable; NaN of rows that it hands over, so that none of them counts as fooled."""

    model: Model
    logits: Logits
    queried: Logits
    gradients: Gradients
    back: Callable[[Tensor], Any]

    def right(self, x: Float[Tensor, "b ..."], y: Int[Tensor, " b"]) -> tuple[Bool[Tensor, " b"], Bool[Tensor, " b"]]:
        """(rows that the model itself decides rightly, rows that it hands over)."""
        out = self.model.outputs(self.back(x))
        handed = torch.zeros(len(x), dtype=torch.bool)
        if out.answered is not None:
            handed = ~torch.from_numpy(out.answered)
        return (torch.from_numpy(out.logits).argmax(1) == y) & ~handed, handed


def target_of(model: Model, sample: Float[Tensor, "b ..."], back: Callable[[Tensor], Any]) -> Target:
    """`sample`: some rows of x as floats. `back`: such rows → a batch as the model takes it.

    Raises BadInput where the model doesn't take floats for the numbers it is given.
    """

    def queried(x: Tensor) -> Tensor:
        out = model.outputs(back(x))
        logits = torch.from_numpy(out.logits)
        return logits if out.answered is None else logits.where(torch.from_numpy(out.answered)[:, None], torch.nan)

    sample = sample[:_TRIED]
    with frozen(model):
        out = model.outputs(back(sample))
        path = _path(model, sample)
        if path is None:
            return Target(model, queried, queried, "none", back)
        # Along its logits alone an attack stops where a model that may hand rows over is unsure, and does so.
        told = torch.from_numpy(out.logits)
        own = out.answered is None and torch.allclose(
            _centred(path(sample).detach()), _centred(told), rtol=1e-3, atol=1e-3
        )
    return Target(model, path, queried, "own" if own else "inner", back)


def _centred(logits: Tensor) -> Tensor:
    """Without the constant that softmax takes away."""
    return logits.float() - logits.float().mean(1, keepdim=True)


def _path(model: Model, sample: Tensor) -> Logits | None:
    """Logits as a function that gradients flow through; None where there is none."""
    if isinstance(model, TorchModel):
        return _through(model, sample)
    if isinstance(model, Ensemble):
        parts = [_path(member, sample) for member in model.models]
        if any(part is None for part in parts):
            return None
        weights = torch.from_numpy(model.weights).float().clamp_min(SMALLEST_PROBABILITY).log()
        members = [part for part in parts if part is not None]

        def mixed(x: Tensor) -> Tensor:
            each = torch.stack([member(x).float().log_softmax(1) for member in members])
            return (each + weights[:, None, None]).logsumexp(0)

        return mixed
    within = getattr(model, "inner", None)  # of wrappers, and of a model that was loaded
    inner = None if within is None else _path(within, sample)
    if inner is None:
        return None
    if isinstance(model, Tempered):
        return lambda x: inner(x) / model.temperature
    if isinstance(model, Offset):
        offset = torch.from_numpy(model.offset)
        return lambda x: inner(x) + offset
    if isinstance(model, Scaled):
        factor, added = (torch.from_numpy(each).float() for each in (model.factor, model.added))
        return lambda x: inner(x).float().log_softmax(1) * factor + added
    return inner


def _through(model: TorchModel, sample: Tensor) -> Logits | None:
    """The module's outputs, read as the model reads them; None where preprocessing or module cut the gradient."""
    like = reference(model.module)

    def raw(x: Tensor) -> Tensor:
        ready = x if model.preprocess is None else model.preprocess(x)
        return call(model.module, place(ready, like)).reshape(len(x), -1).cpu()

    try:
        with torch.enable_grad():
            x = sample.detach().clone().requires_grad_()
            torch.autograd.grad(raw(x).sum(), x)
        told = torch.from_numpy(model.outputs(sample.numpy()).logits)
    except (*REFUSALS, TypeError, BadInput):
        return None
    for read in (_logits, _probabilities):

        def path(x: Tensor, read: Logits = read) -> Tensor:
            return read(raw(x))

        with torch.no_grad():
            if torch.allclose(_centred(path(sample)), _centred(told), rtol=1e-3, atol=1e-3):
                return path
    return None


def _logits(out: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(out), out], 1) if out.shape[1] == 1 else out


def _probabilities(out: Tensor) -> Tensor:
    both = torch.cat([1 - out, out], 1) if out.shape[1] == 1 else out
    return both.clamp_min(SMALLEST_PROBABILITY).log()
