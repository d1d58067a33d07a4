"""How sure the model is of strangers: recounted, and nothing where there are none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from uncork import Split
from uncork.gather._contract import Context
from uncork.gather.stranger_answers import gather
from uncork.models.guarded import HandedOver
from uncork.schema.stranger_answers import StrangerAnswers
from uncork.testing.gatherers import check_gatherer


@pytest.fixture
def with_strangers(context: Context) -> Context:
    noise = np.random.default_rng(0).random((300, 64)).astype(np.float32)
    subject = context.subject.replace(strangers=Split(noise, np.array(["who knows"] * 300)))
    return dataclasses.replace(context, subject=subject)


def test_keeps_the_contract(with_strangers: Context) -> None:
    check_gatherer(gather, StrangerAnswers(), with_strangers, rtol=2e-3)  # of logits of 16 bits
    assert gather.price(StrangerAnswers(), with_strangers) == pytest.approx(300 * with_strangers.seconds_per_row)


def test_confidence_is_the_largest_probability(with_strangers: Context) -> None:
    found = gather.gather(StrangerAnswers(), with_strangers)
    rows = with_strangers.subject.strangers.take(np.arange(300))
    expected = softmax(with_strangers.model.outputs(rows).logits.astype(float), axis=1).max(axis=1)
    np.testing.assert_allclose(found.confidence, expected, rtol=5e-3)
    assert found.answered.all()
    shy = dataclasses.replace(with_strangers, model=HandedOver(with_strangers.model, 0.5, 0))
    assert 0 < gather.gather(StrangerAnswers(), shy).answered.sum() < 300


def test_nothing_without_strangers_and_in_a_regression(context: Context, with_strangers: Context) -> None:
    assert len(gather.gather(StrangerAnswers(), context)) == 0
    assert gather.price(StrangerAnswers(), context) == 0
    facts = dataclasses.replace(with_strangers.facts, task="regression")
    assert len(gather.gather(StrangerAnswers(), dataclasses.replace(with_strangers, facts=facts))) == 0
