"""stack: the weight is that of least loss on the given rows, and the mixture gains on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import log_loss, trial
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge

from uncork import Split, Subject
from uncork.remedies.stack import apply, best_weight
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

NAMES = ("no", "yes")


def drawn(n: int, seed: int) -> Split:
    """Log-odds of class 1: a line in column 0, and a step in column 1 that a line sees little of."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    return Split(x, (2 * x[:, 0] + 3 * (np.abs(x[:, 1]) > 0.7) - 1.5 + rng.logistic(size=n) > 0).astype(int))


def subject_of(n: int = 300, classes: tuple[str, ...] | None = NAMES) -> Subject:
    train = drawn(n, 0)
    y = train.y if classes is None else np.array(classes)[train.y]
    model = LogisticRegression().fit(train.take(np.arange(n)), y)
    return Subject(model, test=None, train=train, validation=drawn(1000, 1), classes=classes)


@pytest.mark.parametrize("classes", [None, NAMES])
def test_a_line_and_trees_do_better_than_either(case_of: Callable[..., Any], classes: tuple[str, ...] | None) -> None:
    """Each sees what the other doesn't; on 20,000 new rows the mixture has less loss than both. Its s.e. is .004."""
    subject, new = subject_of(classes=classes), drawn(20_000, 2)
    treated = apply.apply(case_of(subject, n_classes=2, trial=trial("gbdt")))
    model = treated.subject.model
    assert 0.05 < model.weights[1] < 0.95
    alone = [log_loss(subject.replace(model=member), new).mean() for member in model.models]
    assert log_loss(subject.replace(model=model), new).mean() < min(alone) - 0.02
    assert f"{100 * model.weights[1]:.0f} % of gbdt" in treated.changes
    assert "1000 rows" in treated.changes
    assert (treated.compute, treated.train, apply.price(subject, 3)) == (1, None, 1)


def test_the_weight_is_the_best_of_a_grid() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    mine, rival = (np.eye(3)[y] * 2 + rng.normal(scale=2, size=(400, 3)) for _ in range(2))
    p, q = (np.exp(log_softmax(side, axis=1))[np.arange(400), y] for side in (mine, rival))
    grid = np.linspace(0, 1, 1001)
    best = grid[np.argmin([-np.log((1 - w) * p + w * q).mean() for w in grid])]
    assert best_weight(mine, rival, y, "classification") == pytest.approx(best, abs=2e-3)
    assert best_weight(10 * np.eye(3)[y], rival, y, "classification") == 0
    assert best_weight(mine, mine, y, "classification") == 0
    target = rng.normal(size=400)
    one, other = (target[:, None] + rng.normal(scale=s, size=(400, 1)) for s in (1, 2))
    best = grid[np.argmin([np.mean(((1 - w) * one[:, 0] + w * other[:, 0] - target) ** 2) for w in grid])]
    assert best_weight(one, other, target, "regression") == pytest.approx(best, abs=2e-3)
    assert best_weight(one, one, target, "regression") == 0


def test_a_rival_that_adds_nothing_is_told(case_of: Callable[..., Any]) -> None:
    """The truth is the model's own line: the rival, the same line, has no weight of its own to gain by."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9000, 2)).astype(np.float32)
    y = (x @ [3.0, 0.0] + rng.logistic(size=9000) > 0).astype(int)
    model = LogisticRegression().fit(x, y)
    subject = Subject(model, test=None, train=Split(x[:40], y[:40]), validation=Split(x[40:], y[40:]))
    with pytest.raises(Unavailable, match="mixed with knn the model does no better on 8960 rows"):
        apply.apply(case_of(subject, n_classes=2, trial=trial("knn")))


def test_values_of_a_regression_are_mixed(case_of: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)).astype(np.float32)
    y = x[:, 0] + 2.0 * (np.abs(x[:, 1]) > 0.7) + rng.normal(scale=0.3, size=900)
    train, validation, new = (Split(x[rows], y[rows]) for rows in (slice(200), slice(200, 500), slice(500, 900)))
    subject = Subject(Ridge().fit(x[:200], y[:200]), test=None, train=train, validation=validation, metric="rmse")
    model = apply.apply(case_of(subject, task="regression", n_classes=1, trial=trial("gbdt"))).subject.model
    rows = new.take(np.arange(400))
    mixed, alone = (m.outputs(rows).logits[:, 0] for m in (model, model.models[0]))
    assert np.mean((mixed - new.y) ** 2) < 0.5 * np.mean((alone - new.y) ** 2)


def test_only_the_given_rows_weigh(case_of: Callable[..., Any]) -> None:
    subject = subject_of()
    few = subject.replace(validation=subject.validation.subset(np.arange(300)))
    again = few.replace(
        validation=Split(*(np.array(v)[:300] for v in (few.validation.take(np.arange(300)), few.validation.y)))
    )
    one, same, whole = (
        apply.apply(case_of(s, n_classes=2, trial=trial("gbdt"))).subject.model.weights for s in (few, again, subject)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, whole)
    case = case_of(subject, n_classes=2, trial=trial("gbdt"))
    assert apply.control(case, apply.apply(case)).subject is case.subject


@pytest.mark.parametrize("kind", ["estimator", "net"])
def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject], kind: str) -> None:
    if kind == "estimator":
        check_remedy(apply, lambda: case_of(subject_of(), n_classes=2, trial=trial("gbdt")))
    else:
        check_remedy(apply, lambda: case_of(ground(), trial=trial("knn")))


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="no rival family was tried"):
        apply.apply(case_of(subject_of(), n_classes=2))
