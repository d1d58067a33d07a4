"""isotonic: mends what a temperature can't, costs little where nothing is wrong, and asks for rows enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import log_loss
from scipy.special import softmax
from scipy.stats import sem
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.models.predictions import Predictions
from uncork.remedies import isotonic, temperature
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

K = 3
LEAN = np.array([0.0, 1.5, -1.5])


def stated(n: int, seed: int, lean: np.ndarray) -> Split:
    """Labels drawn from softmax(z); the rows are softmax(z + lean): too sure of one class, too unsure of another."""
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=1.5, size=(n, K))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    return Split(softmax(z + lean, axis=1), y)


def subject_of(lean: np.ndarray, n: int = 2000) -> Subject:
    return Subject(Predictions(), test=None, validation=stated(n, 0, lean))


def test_a_lean_is_mended_where_a_temperature_is_not(case_of: Callable[..., Any]) -> None:
    """Of what the true probabilities would gain on new rows, nine tenths; by a temperature, which cools all, half."""
    subject, new = subject_of(LEAN), stated(20_000, 1, LEAN)
    before = log_loss(subject, new).mean()
    possible = before - log_loss(subject, stated(20_000, 1, np.zeros(K))).mean()
    gained = {
        remedy.id: before - log_loss(remedy.apply(case_of(subject, n_classes=K)).subject, new).mean()
        for remedy in (isotonic.apply, temperature.apply)
    }
    assert possible > 0.2
    assert gained["isotonic"] > 0.88 * possible
    assert gained["temperature"] < 0.6 * possible


def test_calibrated_rows_gain_nothing(case_of: Callable[..., Any]) -> None:
    """On new rows no lower bound is above 0, at 2.5 % each; 3 or more of 20 by chance: 1.3 % (fixed seeds)."""
    above = 0
    for seed in range(20):
        subject = Subject(Predictions(), test=None, validation=stated(1200, seed, np.zeros(K)))
        new = stated(1200, 100 + seed, np.zeros(K))
        gained = log_loss(subject, new) - log_loss(isotonic.apply.apply(case_of(subject, n_classes=K)).subject, new)
        assert gained.mean() > -0.1  # what it costs to fit chance
        above += gained.mean() > 1.96 * sem(gained)
    assert above <= 2


def test_only_the_given_rows_are_read(case_of: Callable[..., Any]) -> None:
    subject = subject_of(LEAN)
    given = subject.replace(validation=subject.validation.subset(np.arange(1000)))
    with_train = given.replace(train=stated(500, 7, LEAN))
    first, second, whole = (isotonic.apply.apply(case_of(s, n_classes=K)) for s in (given, with_train, subject))
    assert first.subject.model.fingerprint() == second.subject.model.fingerprint() != whole.subject.model.fingerprint()
    assert "1000 rows" in first.changes
    assert first.subject.validation is given.validation
    case = case_of(given, n_classes=K)
    assert isotonic.apply.control(case, first).subject is case.subject


def test_it_mends_what_a_temperature_has_left(case_of: Callable[..., Any]) -> None:
    cooled = temperature.apply.apply(case_of(subject_of(LEAN), n_classes=K)).subject
    mapped = isotonic.apply.apply(case_of(cooled, n_classes=K)).subject
    assert mapped.model.inner is cooled.model
    new = stated(20_000, 1, LEAN)
    assert log_loss(cooled, new).mean() - log_loss(mapped, new).mean() > 0.15


@pytest.mark.parametrize("kind", ["estimator", "probabilities"])
def test_keeps_the_contract(case_of: Callable[..., Any], digits: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    if kind == "probabilities":
        subject, n_classes = subject_of(LEAN), K
    else:  # knows nine of the ten classes
        x, y = digits
        model = LogisticRegression(max_iter=200).fit(x[:500][y[:500] < 9], y[:500][y[:500] < 9])
        subject, n_classes = Subject(model, test=None, validation=Split(x[500:], y[500:])), 10
    check_remedy(isotonic.apply, lambda: case_of(subject, n_classes=n_classes))


def test_too_few_rows_to_fit_on(case_of: Callable[..., Any]) -> None:
    with pytest.raises(
        Unavailable, match="1,000 rows to fit on, and half of validation has 999: give some more than 2"
    ):
        isotonic.apply.apply(case_of(subject_of(LEAN, 999), n_classes=K))


def test_a_regression_has_no_probabilities(case_of: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="class probabilities"):
        isotonic.apply.apply(case_of(subject_of(LEAN), task="regression"))
