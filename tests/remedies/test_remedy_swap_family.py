"""swap-family: the trial's winner is trained as the trial trained it, and takes the net's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recipe_helpers import trial
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.data.encode import TableEncoder
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.ensemble import Ensemble
from uncork.models.predictions import Predictions
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Treated
from uncork.remedies.stack import apply as stack
from uncork.remedies.swap_family import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train.rivals import MOST_ROWS, RivalRecipe, as_numbers, fit_rival


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


RECIPE = Recipe(net, epochs=10, batch_size=50, lr=1e-2)


def checkered(n: int, seed: int) -> Split:
    """Class 1 where an odd number of the first two columns is beyond ±.7; four more columns say nothing."""
    x = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    return Split(x, (np.abs(x[:, :2]) > 0.7).sum(axis=1) % 2)


@pytest.fixture(scope="module")
def subject() -> Subject:
    train = checkered(800, 0)
    model = RECIPE.fit(train, seed=0)
    return Subject(model, test=None, train=train, validation=checkered(500, 1), recipe=RECIPE, classes=("no", "yes"))


def answers(treated: Treated, split: Split, seed: int = 0) -> np.ndarray:
    assert treated.train is not None
    subject = treated.subject.replace(model=treated.train(treated.subject, seed))
    model = aligned(adapt(subject, "classification"), ("no", "yes"))
    return model.outputs(split.take(np.arange(len(split)))).logits


def test_trees_take_the_place_of_a_net_that_is_the_wrong_tool(case_of: Callable[..., Any], subject: Subject) -> None:
    """On 2,000 new rows, where the truth is a rule of two columns: the net errs for over .2, boosting for under .06."""
    case, new = case_of(subject, n_classes=2, trial=trial("gbdt")), checkered(2000, 2)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    after, beside = (np.mean(answers(side, new).argmax(axis=1) != new.y) for side in (treated, control))
    assert after < 0.06
    assert beside > 0.2
    assert treated.compute == control.compute == 1
    assert isinstance(treated.subject.recipe, RivalRecipe)


@pytest.mark.parametrize("family", ["linear", "knn", "gbdt"])
def test_it_is_fitted_as_the_trial_fits_it(case_of: Callable[..., Any], subject: Subject, family: str) -> None:
    """On the same rows, from the same seed, it says what the trial's rival says."""
    new = subject.validation.take(np.arange(500))
    x = subject.train.take(np.arange(800))
    expected, _ = fit_rival(family, x, subject.train.y, new, "classification", 2, 3)
    treated = apply.apply(case_of(subject, n_classes=2, trial=trial(family)))
    np.testing.assert_allclose(answers(treated, subject.validation, seed=3), expected, rtol=1e-5, atol=1e-5)


def test_where_the_net_is_right_nothing_is_gained(case_of: Callable[..., Any], subject: Subject) -> None:
    """A rival that can't say it: the control, the net, errs less by far."""
    case, new = case_of(subject, n_classes=2, trial=trial("linear")), checkered(2000, 2)
    treated = apply.apply(case)
    assert np.mean(answers(treated, new).argmax(axis=1) != new.y) > 0.4


def test_what_the_net_needed_is_left_out(case_of: Callable[..., Any], subject: Subject) -> None:
    fed = subject.replace(preprocess=lambda x: 1 / 0, features="0")
    treated = apply.apply(case_of(fed, n_classes=2, trial=trial("linear")))
    assert treated.subject.preprocess is treated.subject.features is None
    assert answers(treated, subject.validation).shape == (500, 2)


def test_a_table_and_pictures_and_a_missing_class() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=90), "b": rng.integers(0, 9, 90)})
    frame.loc[3, "a"] = np.nan
    fitted = RivalRecipe("linear", "classification")(Split(frame, 2 * (np.arange(90) % 2)), 0)
    assert fitted.classes_.tolist() == [0, 2]
    assert fitted.predict(frame.iloc[:7]).shape == (7,)
    pictures = rng.random((60, 3, 12, 12))
    fitted = RivalRecipe("linear", "regression")(Split(pictures, rng.normal(size=60)), 0)
    assert fitted.predict(pictures[:5]).shape == (5,)
    assert [name for name, _ in fitted.steps][-2:] == ["pca", "ridge"]  # 432 columns are too many
    with pytest.raises(Unavailable, match="rows are text"):
        as_numbers(["a", "b"])
    with pytest.raises(Unavailable, match="x holds <U1"):
        as_numbers(np.array([["x"], ["y"]]))


def test_the_winners_setting_is_trained_and_told(case_of: Callable[..., Any], subject: Subject) -> None:
    chosen = replace(trial("gbdt"), setting=3)
    treated = apply.apply(case_of(subject, n_classes=2, trial=chosen))
    assert treated.subject.recipe == RivalRecipe("gbdt", "classification", 3)
    assert "gbdt (rate 0.3, leaves 8)" in treated.changes
    new = subject.validation.take(np.arange(500))
    expected, _ = fit_rival(
        "gbdt", subject.train.take(np.arange(800)), subject.train.y, new, "classification", 2, 3, setting=3
    )
    np.testing.assert_allclose(answers(treated, subject.validation, seed=3), expected, rtol=1e-5, atol=1e-5)


def test_without_its_package_it_says_what_to_install(
    case_of: Callable[..., Any], subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncork.remedies.swap_family.installed", lambda family: False)
    with pytest.raises(Unavailable, match=r"pip install 'uncork\[tabular\]'"):
        apply.apply(case_of(subject, n_classes=2, trial=trial("xgboost")))


def tables(n: int, seed: int) -> Split:
    """Class 1 where one of two letters, and no number that is missing, say so; a net reads them by an encoder."""
    rng = np.random.default_rng(seed)
    letter, number = rng.choice(list("abcd"), n), rng.normal(size=n)
    number[rng.random(n) < 0.2] = np.nan
    return Split(pd.DataFrame({"letter": letter, "number": number}), (np.isin(letter, ["a", "c"]) ^ (number > 0)) * 1)


@pytest.mark.slow
def test_a_table_with_words_and_gaps(case_of: Callable[..., Any]) -> None:
    """On 1,000 new rows trees err on few, of which a net without hidden layers can't say the rule."""
    train = tables(800, 0)
    encoder = TableEncoder.fit(train)
    recipe = Recipe(lambda: nn.Linear(len(encoder.names), 2), epochs=3, batch_size=50, lr=1e-2)
    model = recipe.fit(train, seed=0, preprocess=encoder)
    subject = Subject(
        model,
        test=None,
        train=train,
        validation=tables(300, 1),
        recipe=recipe,
        preprocess=encoder,
        classes=("no", "yes"),
    )
    case, new = case_of(subject, n_classes=2, trial=trial("gbdt")), tables(1000, 2)
    treated = apply.apply(case)
    after, beside = (
        np.mean(answers(side, new).argmax(axis=1) != new.y) for side in (treated, apply.control(case, treated))
    )
    assert after < 0.02
    assert beside > 0.2
    mixed = stack.apply(case).subject.model
    assert isinstance(mixed, Ensemble)
    assert mixed.weights[1] > 0.9
    assert np.mean(mixed.outputs(new.take(np.arange(1000))).logits.argmax(axis=1) != new.y) < 0.02
    check_remedy(apply, lambda: case_of(subject, n_classes=2, trial=trial("gbdt")))
    check_remedy(stack, lambda: case_of(subject, n_classes=2, trial=trial("gbdt")))


def test_of_many_rows_a_sample_is_fitted_on() -> None:
    class Counting:
        def __len__(self) -> int:
            return MOST_ROWS + 500

        def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
            seen.append(row)
            return np.array([row % 7, row % 3], np.float32), row % 2

    seen: list[int] = []
    split = Split(Counting(), np.arange(MOST_ROWS + 500) % 2)
    RivalRecipe("linear", "classification")(split, 0)
    assert len(seen) == len(set(seen)) == MOST_ROWS


def test_without_a_recipe_the_control_is_the_model_as_it_is(case_of: Callable[..., Any], subject: Subject) -> None:
    case = case_of(subject.replace(recipe=None), n_classes=2, trial=trial("knn"))
    treated = apply.apply(case)
    assert apply.control(case, treated).subject is case.subject
    assert treated.train is not None
    check_remedy(apply, lambda: replace(case, rng=np.random.default_rng(0)))


def test_keeps_the_contract(case_of: Callable[..., Any], subject: Subject) -> None:
    check_remedy(apply, lambda: case_of(subject, n_classes=2, trial=trial("knn")))


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any], subject: Subject) -> None:
    with pytest.raises(Unavailable, match="no rival family was tried"):
        apply.apply(case_of(subject))
    given = Subject(Predictions(), test=None, validation=Split(np.full((9, 2), 0.5), np.arange(9) % 2))
    with pytest.raises(Unavailable, match="fitted on train"):
        apply.apply(case_of(given, n_classes=2, trial=trial("knn")))
    cooled = subject.replace(model=Tempered(adapt(subject, "classification"), 2.0))
    with pytest.raises(Unavailable, match="would undo"):
        apply.apply(case_of(cooled, n_classes=2, trial=trial("knn")))
