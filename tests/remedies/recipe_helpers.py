"""What the tests of remedies share: planted recipes on digits, judged on rows that are fresh, and a trial's winner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.models.adapt import adapt, as_model
from uncork.models.base import logits_of
from uncork.remedies._contract import Treated
from uncork.schema.artifacts import PassData, TrialData

SEEDS = (0, 1, 2)


def net(width: int = 32) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


SOUND = Recipe(net, epochs=30, batch_size=50, lr=1e-2)


def of_width(width: int) -> Recipe:
    return SOUND.replace(build=partial(net, width=width))


def subject_of(recipe: Any, x: np.ndarray, y: np.ndarray, **settings: Any) -> Subject:
    """A subject with these rows of train, and a model that is not trained; a callable's is."""
    model = recipe.make() if isinstance(recipe, Recipe) else recipe(Split(x, y), 0)
    return Subject(model, train=Split(x, y), validation=Split(x, y), test=None, recipe=recipe, **settings)


def error(side: Treated | Recipe, train: Split, x: np.ndarray, y: np.ndarray, seeds: Sequence[int] = SEEDS) -> float:
    """Share of errors on fresh rows, mean over models of so many seeds."""
    shares = []
    for seed in seeds:
        if isinstance(side, Recipe):
            fitted, preprocess = side.fit(train, seed=seed), None
        else:
            assert side.train is not None
            fitted, preprocess = side.train(side.subject, seed), side.subject.preprocess
        logits = as_model(fitted, "classification", preprocess=preprocess).outputs(x).logits
        shares.append(np.mean(logits.argmax(axis=1) != y))
    return float(np.mean(shares))


def log_loss(subject: Subject, split: Split) -> np.ndarray:
    """Each row's log-loss by the subject's model, in nats."""
    logits = logits_of(adapt(subject.replace(validation=split), "classification"), split)
    return -log_softmax(logits.astype(float), axis=1)[np.arange(len(split)), split.y]


def trial(family: str) -> TrialData:
    """A trial that this family won."""
    won = PassData.of_logits(np.eye(2)[[0, 1]], np.array([0, 1]))
    return TrialData((family,), (0.0,), (0.1,), 100, 500, family, won)


def recovered(before: float, after: float, oracle: float) -> float:
    """The share of what the oracle gains."""
    return (before - after) / (before - oracle)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def estimator(train: Split, seed: int) -> Any:
    """A recipe whose settings can't be changed."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(train.take(np.arange(len(train))), train.y)
