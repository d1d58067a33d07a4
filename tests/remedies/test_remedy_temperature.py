"""temperature: a known one is found, on the rows it is given and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.models.adapt import adapt
from uncork.models.predictions import Predictions
from uncork.remedies.temperature import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy


def stated(n: int, seed: int, factor: float, classes: int = 4) -> Split:
    """Labels drawn from softmax(z); the rows are softmax(factor · z)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=1.5, size=(n, classes))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    p = np.exp(factor * (z - z.max(axis=1, keepdims=True)))
    return Split(p / p.sum(axis=1, keepdims=True), y)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(case_of: Callable[..., Any], factor: float) -> None:
    """Standard error at 8,000 rows: 2 % of the temperature."""
    subject = Subject(Predictions(), test=None, validation=stated(8000, 0, factor))
    treated = apply.apply(case_of(subject, n_classes=4))
    assert treated.subject.model.temperature == pytest.approx(factor, rel=0.06)
    assert f"{treated.subject.model.temperature:.4g}" in treated.changes
    assert treated.compute == 0


def test_it_is_the_temperature_of_least_loss_on_the_given_rows(case_of: Callable[..., Any]) -> None:
    split = stated(700, 1, 2.0)
    subject = Subject(Predictions(), test=None, validation=split)
    best = apply.apply(case_of(subject, n_classes=4)).subject.model.temperature
    logits = np.log(split.take(np.arange(700)))

    def loss(t: float) -> float:
        cold = logits / t
        return float(np.mean(np.log(np.exp(cold).sum(axis=1)) - cold[np.arange(700), split.y]))

    grid = best * np.geomspace(0.9, 1 / 0.9, 21)
    assert np.argmin([loss(t) for t in grid]) == 10


def test_only_the_given_rows_are_read(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    """Half of validation in, half out; labels of the other half, and of train, play no part."""
    subject = ground()
    given = subject.replace(validation=subject.validation.subset(np.arange(250)), train=None)
    first = apply.apply(case_of(given))
    with_train = given.replace(train=subject.train.with_y(subject.train.y[::-1]))
    second = apply.apply(case_of(with_train))
    assert first.subject.model.temperature == second.subject.model.temperature
    assert "250 rows" in first.changes
    whole = apply.apply(case_of(subject)).subject.model.temperature
    assert whole != first.subject.model.temperature


def test_the_rows_stay_those_given_and_the_model_inside_is_the_same(
    case_of: Callable[..., Any], ground: Callable[..., Subject]
) -> None:
    case = case_of(ground())
    treated = apply.apply(case)
    batch = case.subject.validation.take(np.arange(100))
    before, after = (adapt(s, "classification").outputs(batch).logits for s in (case.subject, treated.subject))
    np.testing.assert_allclose(after * treated.subject.model.temperature, before, rtol=1e-5, atol=1e-6)
    assert treated.subject.validation is case.subject.validation
    assert apply.control(case, treated).subject is case.subject


@pytest.mark.parametrize("kind", ["net", "estimator", "probabilities"])
def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject], kind: str) -> None:
    subject = ground()
    if kind == "estimator":
        x = subject.train.take(np.arange(500))
        subject = subject.replace(model=LogisticRegression(max_iter=500).fit(x, subject.train.y), recipe=None)
    elif kind == "probabilities":
        subject = Subject(Predictions(), test=None, validation=stated(500, 2, 3.0))
    n_classes = 4 if kind == "probabilities" else 10
    check_remedy(apply, lambda: case_of(subject, n_classes=n_classes))


def test_a_regression_has_no_temperature(case_of: Callable[..., Any], ground: Callable[..., Subject]) -> None:
    with pytest.raises(Unavailable, match="class probabilities"):
        apply.apply(case_of(ground(), task="regression"))
