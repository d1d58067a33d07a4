"""Recipes for texts: a linear head on an encoder that stays as it is, and fine-tuning of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.lengths import by_length
from uncork.models.tensors import place, reference
from uncork.models.torch_model import evaluating
from uncork.models.transformers_model import TextEncoder, Tokens, load_encoder
from uncork.schema.errors import BadInput
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["TextNet", "Tokens", "fine_tune", "linear_probe", "probed", "shallower", "text_features"]

WINDOW = 4096


class TextNet(nn.Module):
    """Tokens → features of an encoder → outputs (b, K) of a linear head. `frozen`: the encoder is never trained, and
    is in eval mode throughout."""

    def __init__(self, encoder: TextEncoder, n_outputs: int, *, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.frozen = encoder, frozen
        self.head = nn.Linear(encoder.width, n_outputs)
        encoder.requires_grad_(not frozen)
        self.train()

    def train(self, mode: bool = True) -> TextNet:
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, **tokens: torch.Tensor) -> Float[torch.Tensor, "b K"]:
        outputs: torch.Tensor = self.head(self.encoder(**tokens))
        return outputs


@dataclass(frozen=True)
class Build:
    """Makes a TextNet from the encoder in a folder: what a Recipe's `build` is. `depth`: its first layers alone."""

    folder: str
    n_outputs: int
    frozen: bool
    pooling: str | None = None

    def __call__(self, depth: int | None = None) -> TextNet:
        encoder = load_encoder(self.folder, self.pooling)
        if depth is not None:
            encoder.keep_layers(depth)
        return TextNet(encoder, self.n_outputs, frozen=self.frozen)


def linear_probe(
    folder: str | Path,
    n_outputs: int,
    *,
    epochs: int = 30,
    lr: float = 0.05,
    pooling: str | None = None,
    **settings: Any,
) -> Recipe:
    """A recipe that trains a linear head on the encoder in `folder`, which stays as it is; it goes with
    `preprocess=Tokens(folder)`.

    `n_outputs`: classes, or 1 for a regression. `settings`: the recipe's others. `probed` trains it in one pass of the
    encoder, and `audit(pool="head")` retrains it as cheaply. The encoder must not have been fitted on the rows that it
    is trained on.
    """
    return _recipe(folder, n_outputs, True, pooling, epochs=epochs, lr=lr, **settings)


def fine_tune(
    folder: str | Path,
    n_outputs: int,
    *,
    epochs: int = 3,
    lr: float = 5e-5,
    pooling: str | None = None,
    **settings: Any,
) -> Recipe:
    """A recipe that trains the encoder in `folder` together with a linear head; it goes with
    `preprocess=Tokens(folder)`. `batch_size` is 32 where `settings` say nothing else."""
    return _recipe(folder, n_outputs, False, pooling, epochs=epochs, lr=lr, **{"batch_size": 32, **settings})


def probed(
    recipe: Recipe,
    train: Split,
    *,
    preprocess: Tokens,
    seed: int = 0,
    features: Float[np.ndarray, "n d"] | None = None,
) -> TextNet:
    """What `recipe.fit` makes of a `linear_probe`, with one pass of the encoder over train instead of one an epoch, or
    none where its `features` are given.

    The head's weights begin as others drawn alike. Raises BadInput for another recipe.
    """
    if not isinstance(recipe.build, Build) or not recipe.build.frozen:
        raise BadInput("probed takes a recipe of linear_probe: others change their encoder, let recipe.fit train them")
    net = recipe.build()
    features = text_features(net.encoder, train, preprocess) if features is None else features
    head = recipe.replace(build=partial(nn.Linear, net.encoder.width, recipe.build.n_outputs))
    net.head.load_state_dict(fit(head, Split(features, train.y), seed=seed).module.state_dict())
    return net.eval()


def shallower(
    recipe: Recipe, net: TextNet, train: Split, preprocess: Tokens, seed: int, *, epochs: int = 30, lr: float = 0.05
) -> TextNet:
    """What `recipe` builds with fewer layers, begun with those of `net`, all to be trained; its head is fitted on its
    features of train as they are then, as `linear_probe` does (Kumar et al., Fine-tuning can distort pretrained
    features, ICLR 2022)."""
    with torch.random.fork_rng(devices=[]):  # the head is drawn, and given other weights
        made: Any = recipe.make()
    known = net.encoder.state_dict()
    made.encoder.load_state_dict({name: known[name] for name in made.encoder.state_dict()})
    head = Recipe(partial(nn.Linear, made.encoder.width, made.head.out_features), epochs=epochs, lr=lr)
    fitted = fit(head, Split(text_features(made.encoder, train, preprocess), train.y), seed=seed, device="cpu").module
    made.head.load_state_dict(fitted.state_dict())
    whole: TextNet = made.requires_grad_(True)
    return whole


def text_features(encoder: TextEncoder, split: Split, preprocess: Tokens) -> Float[np.ndarray, "n d"]:
    """The encoder's features of every text, in the order of the split, 4,096 texts sorted by length at a time."""
    parts = []
    with evaluating(encoder), torch.inference_mode():
        for _, texts in split.batches(WINDOW):
            tokens = place(preprocess(texts), reference(encoder))
            parts.append(by_length(lambda part: (encoder(**part), None), tokens)[0].float().cpu().numpy())
    return np.concatenate(parts)


def _recipe(folder: str | Path, n_outputs: int, frozen: bool, pooling: str | None, **settings: Any) -> Recipe:
    if n_outputs < 1:
        raise BadInput(f"n_outputs is {n_outputs}: give the number of classes, or 1 for a regression")
    return Recipe(Build(str(Path(folder).resolve()), n_outputs, frozen, pooling), **settings)
