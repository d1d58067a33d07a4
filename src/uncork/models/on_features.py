"""A linear head on an encoder's features as a Model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import BATCH, Model, Output, rows_in
from uncork.schema.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from jaxtyping import Float


class Encoder:
    """Rows → features: the penultimate ones of `inner`, or, `whole`, the output of its torch module.

    With None the first batch tells: of a torch model whose last layer can't be told from an encoder it is the output.
    """

    def __init__(self, inner: Model, *, whole: bool | None = False) -> None:
        self.inner, self.whole = inner, whole

    def features(self, batch: Any) -> Float[np.ndarray, "b d"]:
        """Raises Unavailable where the model has none, BadInput where the batch doesn't fit or one is not finite."""
        found = None if self.whole else self.inner.outputs(batch, features=True).features
        if self.whole is None:
            self.whole = found is None and hasattr(self.inner, "module")
        if self.whole:
            found = _output(self.inner, batch)
        if found is None:
            raise Unavailable(f"no features: {self.inner.describe().get('features', 'the model has none')}")
        if not np.isfinite(found).all():
            raise BadInput("a backbone gives features that are NaN or inf: check its weights and preprocessing")
        return np.asarray(found, np.float32)

    def fingerprint(self) -> str:
        return f"{'output' if self.whole else 'features'} of {self.inner.fingerprint()}"


def as_encoder(backbone: Any, preprocess: Callable[[Any], Any] | None) -> Encoder:
    """The encoder of one of `Subject.backbones`: a torch module gives features, a Model has them.

    `preprocess`: comes before a torch module; a Model sees to its own. Raises BadInput for anything else.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(backbone, torch.nn.Module):
        from uncork.models.torch_model import TorchModel

        return Encoder(TorchModel(backbone, task="classification", preprocess=preprocess), whole=True)
    if isinstance(backbone, Model):
        return Encoder(backbone, whole=None)
    raise BadInput(
        f"a backbone is of type {type(backbone).__name__}: give a torch.nn.Module from a batch to features (b, d), "
        "or a model that has features"
    )


def features_of(encoder: Encoder, split: Any) -> Float[np.ndarray, "n d"]:
    """The features of every row of a Split."""
    return np.concatenate([encoder.features(batch) for _, batch in split.batches(BATCH)])


class OnFeatures:
    """logits = W f + b. `encoder`: gives f, or None where rows are features already. In regression W has one row.

    weight (K, d), bias (K,) float32. `preprocess` of the subject is the encoder's affair.
    """

    classes: tuple[str, ...] | None = None

    def __init__(self, encoder: Encoder | None, weight: np.ndarray, bias: np.ndarray, *, task: str) -> None:
        self.encoder, self.task = encoder, task
        self.weight, self.bias = np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32)
        self.has_inputs = True
        self.accepts_nan = encoder is not None and encoder.inner.accepts_nan

    @property
    def n_outputs(self) -> int:
        return len(self.bias)

    def outputs(self, batch: Any, features: bool = False) -> Output:
        found = np.asarray(batch, np.float32) if self.encoder is None else self.encoder.features(batch)
        if found.shape[1] != self.weight.shape[1]:
            raise BadInput(f"x: {found.shape[1]} features, but the head takes {self.weight.shape[1]}")
        return Output(found @ self.weight.T + self.bias, found if features else None)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.weight.tobytes() + self.bias.tobytes() + self.task.encode(), digest_size=16)
        return f"{digest.hexdigest()} on {'' if self.encoder is None else self.encoder.fingerprint()}"

    def describe(self) -> dict[str, Any]:
        about = {} if self.encoder is None else self.encoder.inner.describe()
        return {
            **about,
            "kind": "a linear head on features",
            "parameters": (about.get("parameters") or 0) + self.weight.size + self.bias.size,
            "bytes": (about.get("bytes") or 0) + self.weight.nbytes + self.bias.nbytes,
            "feature_layer": None,
            "features": "input of the head; logits = W f + b",
        }


def _output(model: Any, batch: Any) -> np.ndarray:
    """(b, d) what a torch module makes of a batch, in eval mode."""
    import torch

    from uncork.models.lengths import by_length
    from uncork.models.tensors import REFUSALS, call, place, reference, refusal, to_tensors
    from uncork.models.torch_model import evaluating

    module = model.module
    with evaluating(module), torch.inference_mode():
        tensors = place(to_tensors(batch, model.preprocess), reference(module))
        try:
            if getattr(model.preprocess, "padded", False):
                found = by_length(lambda part: (call(module, part), None), tensors)[0]
            else:
                found = call(module, tensors)
        except REFUSALS as error:
            raise refusal(error, tensors, module, model.preprocess is not None) from error
        if len(found) != rows_in(batch):
            raise BadInput(f"a backbone gives {len(found)} rows of features for a batch of {rows_in(batch)}: one a row")
        return np.asarray(found.flatten(1).float().cpu().numpy())
