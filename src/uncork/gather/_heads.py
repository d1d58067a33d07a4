"""Heads on stored features: the pool where the encoder is frozen, and only the last Linear is retrained.

Heads are worth something only on features that never saw train. On features fitted on train every head is in-sample,
whichever rows it was trained on, which falsifies label errors, learning curves, membership and churn. So they are
withheld, unless the encoder is, bit for bit, the same in the model, in what `recipe.build` makes, and in that after a
few steps of training by the recipe: parameters and buffers, so that a BatchNorm that still counts is no frozen one.
What `build` itself loads can't be seen: it must not have been fitted on these rows. Features that were cross-fitted by
backbones of other folds would do, but can't be brought.

A head starts as `nn.Linear` does and trains by the recipe's optimiser, learning rate, steps and batches, on features in
eval mode: the recipe's augmentation, and dropout in the encoder, are left out. Features are stored in 16 bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.gather._contract import Context
from uncork.gather._tree import together
from uncork.gather.forward import gather as passes
from uncork.gather.store import Store
from uncork.models.torch_model import TorchModel
from uncork.schema.artifacts import Pass, PassData
from uncork.schema.subject import Subject
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

NOTE = (
    "The pool's models are linear heads on the frozen encoder's features: what it says of the recipe is said of these, "
    "and holds if what recipe.build loads was never fitted on train."
)
NO_WIDTH = "a linear head has no width: pool='auto' retrains the whole net"
MOST_BYTES = 4e9
TRIED_STEPS = 3  # of a head that starts at 0 the first step leaves the encoder as it is

_WAY_OUT = "pool='auto' retrains the whole net"
_SPLITS = ("train", "validation")


def pooled(context: Context) -> Context:
    """The context that the pool is gathered in: of heads where they are asked for, else as it is."""
    if not isinstance(context.heads, Subject) or context.subject is context.heads:
        return context
    return replace(context, subject=context.heads, store=context.store and context.store.apart("heads"))


def heads(context: Context, store: Store | None = None) -> Subject | str:
    """The subject whose rows are features and whose recipe trains a head on them; or why that is withheld.

    Its splits keep labels, ids and groups; rows of train that are copies stay together.
    """
    subject, model = context.subject, context.model
    if subject.train is None or not isinstance(model, TorchModel) or not isinstance(subject.recipe, Recipe):
        return f"heads take a torch module, the train split and a Recipe; {_WAY_OUT}"
    row = subject.train.take(np.arange(1))
    # Of a layer that the user named, the model itself does not verify that it makes the logits.
    searched = TorchModel(model.module, task=model.task, preprocess=model.preprocess)
    for each in (model, searched):
        each.outputs(row, features=True)
    layer = searched.describe()["feature_layer"]
    if layer is None or layer != model.describe()["feature_layer"]:
        return f"no head can be told from the encoder (features: {model.describe()['features']}); {_WAY_OUT}"
    if reason := fitted(subject.recipe, model, subject.train, layer):
        return reason
    head = model.module.get_submodule(layer)
    assert isinstance(head, nn.Linear)
    size = 2 * head.in_features * sum(len(context.split(name)) for name in _SPLITS)
    if size > MOST_BYTES:
        return f"the features would take {size / 1e9:.0f} GB: give a sample of train"
    build = partial(nn.Linear, head.in_features, head.out_features, bias=head.bias is not None)
    train, validation = (_features(name, context, store) for name in _SPLITS)
    return subject.replace(
        train=train, validation=validation, recipe=subject.recipe.replace(build=build, augment=None), preprocess=None
    )


def fitted(recipe: Recipe, model: TorchModel, train: Split, layer: str) -> str:
    """Why the features, input of `layer`, may have been fitted on train; "" where training can't have changed them."""
    few = train.subset(np.arange(0, len(train), -(-len(train) // recipe.batch_size)))
    try:
        with torch.random.fork_rng(devices=[]):
            made = recipe.make()
        # What build makes, the model, and what is trained may be one and the same encoder: set back afterwards.
        fresh, given = (kept(module, layer) for module in (made, model.module))
        try:
            trained = fit(recipe, few, seed=0, preprocess=model.preprocess, steps=TRIED_STEPS).module
            after = kept(trained, layer)
        finally:
            with torch.no_grad():
                for name, tensor in encoder(made, layer).items():
                    tensor.copy_(fresh[name])
    except Exception as error:  # the user's own code
        return f"the recipe can't be trained here ({type(error).__name__}: {error})"
    for which, tensors in (("after training by the recipe", after), ("in the model", given)):
        if name := _differing(fresh, tensors):
            return (
                f"the encoder was fitted on train, as far as can be told: {name} is another {which} than recipe.build "
                "makes it. Every head on such features is in-sample, which falsifies label errors, curves, membership "
                f"and churn; {_WAY_OUT}"
            )
    return ""


def encoder(module: nn.Module, layer: str) -> dict[str, torch.Tensor]:
    """Parameters and buffers outside the submodule `layer` ("" for the module itself)."""
    own = f"{layer}." if layer else ""
    tensors = chain(module.named_parameters(), module.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors if not name.startswith(own)}


def kept(module: nn.Module, layer: str) -> dict[str, torch.Tensor]:
    """A copy of `encoder`."""
    return {name: tensor.clone() for name, tensor in encoder(module, layer).items()}


def _differing(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> str:
    """The first name whose tensor isn't the same, bit for bit, in both; "" where all are."""
    for name in {**a, **b}:
        if (
            name not in a
            or name not in b
            or a[name].dtype != b[name].dtype
            or not torch.equal(a[name].cpu(), b[name].cpu())
        ):
            return name
    return ""


def _features(name: str, context: Context, store: Store | None) -> Split:
    """One split's features (n, d) float16 as its rows, from the store or gathered."""
    request, split = Pass(name, features=True), context.split(name)
    data: PassData | None = None if store is None else store.get(request)
    if data is None:
        data = passes.gather(request, context)
        if store is not None:
            store.put(request, data)
    groups = together(split) if name == "train" else split.groups
    return Split(data.features, split.y, ids=split.ids if split.has_ids else None, groups=groups)
