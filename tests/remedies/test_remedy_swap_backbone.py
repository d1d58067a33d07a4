"""swap-backbone: the chosen encoder answers, from then on it is what is trained, and it is saved and loaded again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Split, Subject, load_treated
from uncork.models.adapt import adapt
from uncork.models.on_features import Encoder, OnFeatures
from uncork.remedies.swap_backbone import apply
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.testing.poor_transfer import a_transfer
from uncork.testing.remedies import check_remedy


def backbone() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh())


@pytest.fixture
def subject(ground: Callable[..., Subject], digits: tuple[np.ndarray, np.ndarray]) -> Subject:
    x, y = digits
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = backbone()
    recipe = ground().recipe.replace(epochs=2)
    return ground().replace(train=Split(x[:120], y[:120]), recipe=recipe, backbones={"near": made})


@pytest.mark.parametrize("how", ["frozen", "fine-tuned"])
def test_keeps_the_contract(case_of: Callable[..., Any], subject: Subject, how: str) -> None:
    check_remedy(apply, lambda: case_of(subject, transfer=a_transfer(50, backbones=("near",), how=how)))


def treated(case: Any) -> Subject:
    found = apply.apply(case)
    assert found.train is not None
    return found.subject.replace(model=found.train(found.subject, 0))


def test_it_answers_by_the_backbones_features(case_of: Callable[..., Any], subject: Subject) -> None:
    """Right on most digits, as a head of 120 rows on 48 random features is; what trains again makes the same."""
    case = case_of(subject, transfer=a_transfer(50, backbones=("near",)))
    swapped = treated(case)
    assert isinstance(swapped.model, OnFeatures)
    split = subject.validation
    logits = adapt(swapped, "classification").outputs(split.take(np.arange(200))).logits
    assert np.mean(logits.argmax(axis=1) == split.y[:200]) > 0.5
    np.testing.assert_array_equal(swapped.recipe(subject.train, 0).weight, swapped.model.weight)


@pytest.mark.parametrize("how", ["frozen", "fine-tuned"])
def test_it_is_saved_and_loaded_again(case_of: Callable[..., Any], subject: Subject, tmp_path: Path, how: str) -> None:
    swapped = treated(case_of(subject, transfer=a_transfer(50, backbones=("near",), how=how)))
    save_treated(tmp_path, swapped, swapped.model, ["swap-backbone: ..."])
    x = subject.validation.take(np.arange(50))
    again = load_treated(tmp_path, build=backbone)
    np.testing.assert_array_equal(again.inner.outputs(x).logits, swapped.model.outputs(x).logits)
    assert again.fingerprint() == swapped.model.fingerprint()


def test_an_encoder_that_cannot_be_saved_is_said_to_be(subject: Subject, tmp_path: Path) -> None:
    odd: Any = type("Odd", (), {"accepts_nan": False})()  # of a kind that uncork doesn't know
    model = OnFeatures(Encoder(odd), np.ones((2, 3)), np.zeros(2), task="classification")
    save_treated(tmp_path, subject, model, [])
    about = json.loads((tmp_path / "treated" / "treated.json").read_text())
    assert about["how"].startswith("not to be loaded: uncork doesn't know what it is made of")
    assert (tmp_path / "treated" / about["model"]["file"]).is_file()


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], subject: Subject) -> None:
    with pytest.raises(Unavailable, match="audit with the probe poor-transfer"):
        apply.apply(case_of(subject))
    with pytest.raises(Unavailable, match="'far' or train is no longer there"):
        apply.apply(case_of(subject, transfer=a_transfer(50, backbones=("far",))))
