"""A linear head fitted on an encoder's features, frozen or as the start of training both."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.on_features import Encoder, OnFeatures, features_of
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from jaxtyping import Float

STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # of the fit against the penalty, on standardised features (C of scikit-learn)
USUAL = 0.3  # where rows are too few to choose one
FEWEST = 100  # rows to choose by
RIDGE = tuple(10.0**power for power in range(-2, 5))
ABSENT = -27.6  # logit of a class without rows, ln 1e-12
MILDER = 0.1  # of the recipe's learning rate, for weights that are not to be unlearnt


def fit_head(
    x: Float[np.ndarray, "n d"], y: np.ndarray, classes: int, seed: int
) -> tuple[Float[np.ndarray, "K d"], Float[np.ndarray, " K"]]:
    """(weight, bias) of logits W f + b: logistic regression, its penalty chosen on a fifth of 100 rows or more by
    log-loss; with `classes` 0 ridge regression, by leave-one-out. Features are standardised in the fit alone."""
    from sklearn.linear_model import RidgeCV

    x = np.asarray(x, np.float64)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-6 * max(1.0, float(scale.max(initial=0.0)))] = np.inf  # what doesn't vary tells nothing
    z = (x - centre) / scale
    if classes == 0:
        fit = RidgeCV(RIDGE).fit(z, y)
        weight, bias = np.atleast_2d(fit.coef_), np.atleast_1d(fit.intercept_)
    else:
        weight, bias = _logistic(z, y, classes, _strength(z, y, classes, seed))
    weight = weight / scale
    return weight.astype(np.float32), (bias - weight @ centre).astype(np.float32)


def _strength(z: np.ndarray, y: np.ndarray, classes: int, seed: int) -> float:
    order = generator(seed, "linear head").permutation(len(y))
    held, rest = order[: len(y) // 5], order[len(y) // 5 :]
    if len(y) < FEWEST or len(np.unique(y[rest])) < 2:
        return USUAL
    from scipy.special import log_softmax

    losses = []
    for strength in STRENGTHS:
        weight, bias = _logistic(z[rest], y[rest], classes, strength)
        losses.append(-log_softmax(z[held] @ weight.T + bias, axis=1)[np.arange(len(held)), y[held]].mean())
    return STRENGTHS[int(np.argmin(losses))]


def _logistic(z: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((classes, z.shape[1])), np.full(classes, ABSENT)
    known = np.unique(y)
    if len(known) == 1:
        bias[known] = 0.0
        return weight, bias
    fit = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(z, y)
    if len(known) == 2:
        weight[known[1]], bias[known] = fit.coef_[0], [0.0, fit.intercept_[0]]
    else:
        weight[known], bias[known] = fit.coef_, fit.intercept_
    return weight, bias


@dataclass(frozen=True)
class HeadRecipe:
    """A recipe whose rows are features (n, d), or what `encoder` makes features of. `classes`: 0 in a regression.

    `tuned`: then encoder and head are trained on together by it, from where they are (Kumar et al., Fine-tuning can
    distort pretrained features, ICLR 2022), at a tenth of its learning rate.
    """

    task: str
    classes: int
    encoder: Encoder | None = None
    tuned: Recipe | None = None

    def __call__(self, train: Split, seed: int) -> OnFeatures:
        if self.encoder is None:
            x = np.asarray(train.take(np.arange(len(train))), np.float32)
        else:
            x = features_of(self.encoder, train)
        assert train.y is not None
        weight, bias = fit_head(x, train.y, self.classes if self.task == "classification" else 0, seed)
        if self.tuned is None:
            return OnFeatures(self.encoder, weight, bias, task=self.task)
        return self._trained_on(train, weight, bias, seed)

    def _trained_on(self, train: Split, weight: np.ndarray, bias: np.ndarray, seed: int) -> OnFeatures:
        assert self.tuned is not None
        inner = tunable(self.encoder)
        recipe = self.tuned.replace(build=partial(Together, inner.module, weight, bias), lr=MILDER * self.tuned.lr)
        made: Any = fit(recipe, train, seed=seed, preprocess=inner.preprocess).module
        encoder = Encoder(TorchModel(made.encoder, task="classification", preprocess=inner.preprocess), whole=True)
        head = [parameter.detach().cpu().numpy() for parameter in (made.head.weight, made.head.bias)]
        return OnFeatures(encoder, *head, task=self.task)


def tunable(encoder: Encoder | None) -> Any:
    """The torch model of an encoder that can be trained on. Raises Unavailable for others."""
    if encoder is None or not encoder.whole or not isinstance(encoder.inner, TorchModel):
        raise Unavailable("only a torch module can be trained on")
    return encoder.inner


class Together(nn.Module):
    """A copy of an encoder with a linear head behind it, all of it to be trained."""

    def __init__(self, module: nn.Module, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(module)
        self.head = nn.Linear(weight.shape[1], len(bias))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))
        self.requires_grad_(True)

    def forward(self, *given: Any, **named: Any) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(*given, **named).flatten(1))
        return logits
