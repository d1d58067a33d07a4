"""Backbones: the planted one is found inside train alone, its gain is brute force's, its rank that of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather import poor_transfer as module
from uncork.gather._contract import Context
from uncork.gather.forward import forward
from uncork.gather.poor_transfer import gather
from uncork.models.base import logits_of
from uncork.models.on_features import as_encoder
from uncork.probes.poor_transfer import measure
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.poor_transfer import Transfer
from uncork.testing.gatherers import check_gatherer
from uncork.train.linear_head import HeadRecipe, fit_head

ContextOf = Callable[..., Context]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(1500, 6)).astype(np.float32)
Y = ((X[:, 0] * X[:, 1] + 0.3 * RNG.normal(size=1500)) > 0).astype(int)


class Products(nn.Module):
    """All products of two columns, the label's among them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, :, None] * x[:, None, :]).flatten(1)


class Mixed(nn.Module):
    """The label's product with `share` of another one added, which no training takes apart; beside plain columns."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.layer = share, nn.Linear(4, 4)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(4))
            self.layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = x[:, 0] * x[:, 1] + self.share * x[:, 2] * x[:, 3]
        return self.layer(torch.cat([mixed[:, None], x[:, 3:]], dim=1))


def born(width: int = 36) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, width), nn.Tanh())


def line(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)


def subject_of(**changes: Any) -> Subject:
    cuts = {"train": slice(300), "validation": slice(300, 1000), "test": slice(1000, None)}
    splits = {name: Split(X[rows], Y[rows]) for name, rows in cuts.items()}
    known = {"model": line(splits["train"], 0), "recipe": line, "backbones": {"born": born(), "products": Products()}}
    return Subject(**splits, **{**known, **changes})


def test_the_planted_backbone_is_found_and_gains_what_brute_force_says(context_of: ContextOf) -> None:
    """A line can't tell a product's sign: 500 of 1,000 wrong; on products about 100."""
    context = context_of(subject_of())
    data = gather.gather(Transfer(), context)
    assert (data.winner, data.how) == ("products", "frozen")
    assert data.left_out["fine-tuned"] == "training on takes a Recipe: give Subject(recipe=Recipe(...))"
    assert data.left_out["own"].startswith("no features: ")
    found = measure(
        validation=forward(context.model, context.split("validation")),
        transfer=data,
        facts=context.facts,
        rng=np.random.default_rng(0),
    )
    features = (X[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    scale = StandardScaler().fit(features[:300])
    errors = []
    for strength in (0.003, 0.03, 0.3, 3.0):
        fit = LogisticRegression(C=strength, max_iter=500).fit(scale.transform(features[:300]), Y[:300])
        errors.append(1000 * np.mean(fit.predict(scale.transform(features[300:1000])) != Y[300:1000]))
    mine = 1000 * np.mean(logits_of(context.model, context.split("validation")).argmax(axis=1) != Y[300:1000])
    assert min(errors) - 5 < mine - found.headroom.value < max(errors) + 5
    assert found.headroom.low > 250
    assert found.estimates["gain_over_recipe"].low > 250
    assert data.rungs == (1, 5, 20)
    assert found.estimates["gain_at_20"].value > 0


def test_validation_has_no_say_in_the_choice(context_of: ContextOf) -> None:
    """Other labels of validation leave what was screened, and the model that was made, bit for bit as they are."""
    subject = subject_of()
    turned = subject.replace(validation=subject.validation.with_y(1 - subject.validation.y))
    one, other = (gather.gather(Transfer(rungs=()), context_of(s)) for s in (subject, turned))
    assert (one.screened, one.winner) == (other.screened, other.winner)
    np.testing.assert_array_equal(one.made, other.made)


@pytest.mark.slow
def test_the_rows_that_choose_are_not_fitted_on(context_of: ContextOf) -> None:
    """Labels by chance: a backbone of 400 columns learns 240 rows by heart, and is wrong on half of the other 60.

    Fitted on them too it would be right on nearly all; a share of 3/4 right has odds below 1e-4."""
    chance = RNG.integers(0, 2, 1500)
    subject = subject_of(backbones={"wide": born(400)})
    splits = {name: getattr(subject, name) for name in ("train", "validation", "test")}
    subject = subject.replace(**{n: s.with_y(chance[: len(s)]) for n, s in splits.items()})
    assert gather.gather(Transfer(rungs=()), context_of(subject)).screened[0] > 250


@pytest.mark.slow
def test_keeps_the_contract(context_of: ContextOf) -> None:
    check_gatherer(gather, Transfer(rungs=(5,)), context_of(subject_of()), rtol=1e-3)


@pytest.mark.slow
def test_beyond_four_the_evidence_makes_the_short_list(context_of: ContextOf) -> None:
    many = {f"born {i}": born(3 + i) for i in range(4)} | {"products": Products()}
    data = gather.gather(Transfer(rungs=()), context_of(subject_of(backbones=many, recipe=None)))
    assert data.winner == "products"
    assert np.isnan(data.screened).sum() == 1
    assert np.argmax(data.evidence) == 4
    assert (len(data.members), "recipe" in data.left_out) == (0, True)


def test_a_regression_has_values_and_no_rungs(context_of: ContextOf) -> None:
    y = X[:, 0] * X[:, 1] + 0.1 * RNG.normal(size=1500)
    cuts = {"train": slice(300), "validation": slice(300, 1000), "test": slice(1000, None)}
    splits = {name: Split(X[rows], y[rows]) for name, rows in cuts.items()}
    flat = nn.Linear(6, 1)
    subject = Subject(flat, **splits, metric="rmse", backbones={"products": Products(), "born": born()})
    context = context_of(subject)
    data = gather.gather(Transfer(), context)
    assert (data.winner, data.rungs, data.made.shape) == ("products", (), (1, 700, 1))
    assert data.screened[0] < 0.2 < data.screened[1]
    assert len(data.own) == 1
    found = measure(
        validation=forward(context.model, context.split("validation")),
        transfer=data,
        facts=context.facts,
        rng=np.random.default_rng(0),
    )
    assert found.headroom.low > 0.5


def test_what_is_missing_is_told(context_of: ContextOf) -> None:
    with pytest.raises(Unavailable, match="no other encoder was given"):
        gather.gather(Transfer(), context_of(subject_of(backbones=None)))
    with pytest.raises(Unavailable, match="no train split"):
        gather.gather(Transfer(), context_of(subject_of(recipe=None).replace(train=None)))
    with pytest.raises(BadInput, match=r"backbones\['other'\]: x: the model refuses"):
        gather.gather(Transfer(), context_of(subject_of(backbones={"other": nn.Linear(7, 2)})))


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


@pytest.mark.slow
def test_the_order_is_that_of_real_fine_tuning(context_of: ContextOf) -> None:
    """Four planted backbones, in which ever more hides the label: order of heads against that after training on, on
    fresh rows."""
    recipe = Recipe(net, epochs=20, batch_size=50, lr=1e-2)
    backbones = {f"{share}": Mixed(share) for share in (4.0, 0.7, 0.0, 1.6)}
    subject = subject_of(recipe=recipe, backbones=backbones, model=recipe.fit(subject_of().train, seed=0))
    data = gather.gather(Transfer(rungs=()), context_of(subject))
    assert data.winner == "0.0"
    assert np.isfinite(data.tuned)
    tuned = []
    for backbone in backbones.values():
        made = HeadRecipe("classification", 2, as_encoder(backbone, None), recipe)(subject.train, 0)
        tuned.append(np.mean(logits_of(made, subject.test).argmax(axis=1) != Y[1000:]))
    assert spearmanr(data.screened, tuned).statistic == 1


@pytest.mark.slow
def test_training_on_is_chosen_where_it_is_better(context_of: ContextOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net with a layer of products that has never seen the task: its head can be trained only as far as it goes."""
    recipe = Recipe(net, epochs=100, batch_size=50, lr=3e-2)
    subject = subject_of(recipe=recipe, backbones={"narrow": born(8)}, model=recipe.fit(subject_of().train, seed=0))
    data = gather.gather(Transfer(rungs=()), context_of(subject))
    assert data.how == "fine-tuned"
    assert data.tuned < data.screened[0] - 50
    monkeypatch.setattr(module, "MOST_SECONDS", 0.0)
    data = gather.gather(Transfer(rungs=()), context_of(subject))
    assert data.how == "frozen"
    assert "would take about" in data.left_out["fine-tuned"]


@pytest.mark.slow
def test_heads_of_the_gatherer_are_fit_heads(context_of: ContextOf) -> None:
    """What answers validation is a head fitted on all of train."""
    data = gather.gather(Transfer(rungs=()), context_of(subject_of(recipe=None, backbones={"products": Products()})))
    features = (X[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    spread = [
        np.abs(features[300:1000] @ weight.T + bias - data.made[0]).max()
        for weight, bias in (fit_head(features[:300], Y[:300], 2, seed) for seed in range(8))
    ]
    assert data.fitted_rows == 300
    assert min(spread) < 1e-2
