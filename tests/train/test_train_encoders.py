"""Linear probes and fine-tuning of a planted encoder: what is trained, what stays, and heads on its features."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from uncork import BadInput, Recipe, Split, Subject, audit, load_treated, treat
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.code import code_fingerprint
from uncork.testing.texts import reviews, tiny_folder
from uncork.train.encoders import TextNet, Tokens, fine_tune, linear_probe, probed, text_features

pytestmark = pytest.mark.slow  # importing transformers takes as long as all of them

CLASSES, FLIPPED = ("bad", "good"), 0.15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def tokens(folder: Path) -> Tokens:
    return Tokens(folder)


def wrong(net: Any, tokens: Tokens, split: Split) -> float:
    model = as_model(net, "classification", preprocess=tokens)
    return float((logits_of(model, split).argmax(axis=1) != split.y).mean())


def state(net: TextNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.encoder.state_dict().items()}


def test_a_probe_trains_the_head_and_leaves_the_encoder(folder: Path, tokens: Tokens) -> None:
    recipe = linear_probe(folder, 2)
    train, unseen = reviews(400, seed=0), reviews(400, seed=1)
    untrained: Any = recipe.make()
    net = probed(recipe, train, preprocess=tokens)
    assert wrong(net, tokens, unseen) < 0.01  # planted: it can be told by a line
    fitted: Any = recipe.replace(epochs=10).fit(train, preprocess=tokens)
    assert wrong(fitted, tokens, unseen) < 0.05
    for each in (net, fitted):
        assert all(torch.equal(tensor, state(untrained)[name]) for name, tensor in state(each).items())
    assert not untrained.train().encoder.training
    assert untrained.head.training
    assert {parameter.requires_grad for parameter in untrained.encoder.parameters()} == {False}


def test_a_probe_in_one_pass_is_the_head_that_features_give(folder: Path, tokens: Tokens) -> None:
    recipe, train = linear_probe(folder, 2, epochs=2), reviews(80, seed=0)
    net = probed(recipe, train, preprocess=tokens, seed=3)
    again = probed(recipe, train, preprocess=tokens, seed=3, features=text_features(net.encoder, train, tokens))
    assert torch.equal(net.head.weight, again.head.weight)
    assert not torch.equal(net.head.weight, probed(recipe, train, preprocess=tokens, seed=4).head.weight)
    output = as_model(net, "classification", preprocess=tokens).outputs(train.take(np.arange(80)), features=True)
    assert output.features is not None
    assert np.abs(output.features - text_features(net.encoder, train, tokens)).max() < 1e-5
    one = [text_features(net.encoder, train.subset(np.array([i])), tokens) for i in range(10)]
    assert np.abs(np.concatenate(one) - output.features[:10]).max() < 1e-5
    with pytest.raises(BadInput, match="recipe of linear_probe"):
        probed(fine_tune(folder, 2), train, preprocess=tokens)


def test_fine_tuning_moves_the_encoder(folder: Path, tokens: Tokens) -> None:
    recipe = fine_tune(folder, 2, epochs=6, lr=1e-2)
    train, unseen = reviews(300, seed=0), reviews(300, seed=1)
    net: Any = recipe.fit(train, preprocess=tokens)
    assert wrong(net, tokens, unseen) < 0.05
    untrained: Any = recipe.make()
    assert not torch.equal(
        state(net)["body.embeddings.word_embeddings.weight"], state(untrained)["body.embeddings.word_embeddings.weight"]
    )
    assert {parameter.grad is not None for parameter in net.parameters()} == {True}  # nothing that is never used


def test_a_regression_and_what_recipes_refuse(folder: Path, tokens: Tokens) -> None:
    train = reviews(200, seed=0)
    y = 3.5 * train.y - 1.25
    net = probed(linear_probe(folder, 1, epochs=300), train.with_y(y), preprocess=tokens)
    values = logits_of(as_model(net, "regression", preprocess=tokens), train)[:, 0]
    x = np.column_stack([text_features(net.encoder, train, tokens), np.ones(200)])
    least = ((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2).mean()
    assert least <= ((values - y) ** 2).mean() < 1.05 * least + 0.01
    with pytest.raises(BadInput, match="n_outputs is 0"):
        linear_probe(folder, 0)
    with pytest.raises(BadInput, match=r"recipe\.epochs"):
        linear_probe(folder, 2, epochs=0)
    with pytest.raises(BadInput, match="pooling is 'sum'"):
        linear_probe(folder, 2, pooling="sum").make()


def test_recipes_travel_and_are_told_apart(folder: Path) -> None:
    recipe = linear_probe(folder, 2)
    there: Recipe = pickle.loads(pickle.dumps(recipe))
    assert there == recipe
    assert there.describe() == recipe.describe()
    kinds = [recipe, linear_probe(folder, 3), linear_probe(folder, 2, pooling="cls"), fine_tune(folder, 2)]
    assert len({code_fingerprint(each.build) for each in kinds}) == 4


@pytest.mark.usefixtures("in_this_process")
def test_heads_find_planted_labels_and_the_treated_model_comes_back(
    folder: Path, tokens: Tokens, tmp_path: Path
) -> None:
    """Fixed seeds; at 95 % an interval misses the truth for 1 seed in 20 of correct code."""
    train, test = reviews(600, seed=0, flipped=FLIPPED), reviews(400, seed=1)
    recipe = linear_probe(folder, 2)
    net = probed(recipe, train, preprocess=tokens)
    given: dict[str, Any] = {"recipe": recipe, "preprocess": tokens, "classes": CLASSES}
    strangers = Split([" ".join(["[MASK]"] * n) for n in range(1, 31)] * 4)
    subject = Subject(net, train=train, validation=reviews(400, seed=2), test=test, strangers=strangers, **given)
    probes = ["wrong-labels", "miscalibration", "unrecognised-inputs", "behaviour-violations", "leaked-examples"]
    report = audit(subject, pool="head", probes=probes, out=tmp_path / "run", budget="10m")
    assert {finding.id: finding.verdict for finding in report.findings if finding.verdict in ("error", "not-run")} == {}
    rate = report.finding("wrong-labels").estimates["noise_if_random"]
    assert rate.low < FLIPPED < rate.high
    assert "heads on the frozen encoder" in " ".join(report.subject["notes"])
    assert report.subject["model"]["feature_layer"] == "head"
    copies = report.finding("leaked-examples").estimates["test_copies"].value
    seen = {text for name in ("train",) for text in getattr(subject, name).take(np.arange(600))}
    assert copies == pytest.approx(1000 * np.mean([text in seen for text in test.take(np.arange(400))]))
    treated = treat(report, remedies=["temperature"])
    assert treated.treatments[0].kept
    loaded = load_treated(tmp_path / "run", build=recipe.build, preprocess=tokens)
    raw = logits_of(as_model(net, "classification", preprocess=tokens), test)
    temperature = float(str(treated.treatments[0].changes).split("divided by ")[1].split(",")[0])
    assert np.abs(logits_of(loaded, test) - raw / temperature).max() < 1e-2 * np.abs(raw / temperature).max()


def test_an_encoder_fitted_on_train_gets_no_heads(folder: Path, tokens: Tokens, tmp_path: Path) -> None:
    train = reviews(100, seed=0)
    recipe = fine_tune(folder, 2, epochs=1)
    given: dict[str, Any] = {"recipe": recipe, "preprocess": tokens}
    net = recipe.fit(train, preprocess=tokens)
    subject = Subject(net, train=train, validation=reviews(60, seed=2), test=reviews(60, seed=1), **given)
    report = audit(subject, pool="head", probes=["wrong-labels"], out=tmp_path / "run")
    assert "the encoder was fitted on train" in report.finding("wrong-labels").reason
