"""threshold: the Bayes rule of a cost matrix is met on new rows, and what has no threshold is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from uncork import Metric, Split, Subject
from uncork.remedies.threshold import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

COST = np.array([[0.0, 1.0], [20.0, 0.0]])


def normal(n: int, seed: int, share: float = 0.5) -> Split:
    """Two normal classes, ±1 apart from 0; `share`: of class 1."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return Split((2 * y - 1 + rng.normal(size=n))[:, None], y)


def subject_of(metric: Any = COST, names: tuple[str, ...] | None = None) -> Subject:
    """A logistic regression, which is right about the probabilities; its cost is not what it was fitted to."""
    train = normal(20_000, 0)
    y = train.y if names is None else np.array(names)[train.y]
    model = LogisticRegression(C=1e4).fit(train.take(np.arange(len(train))), y)
    return Subject(model, test=None, train=train, validation=normal(4000, 1), metric=metric, classes=names)


def cost_of(subject: Subject, split: Split) -> float:
    logits = subject.model.outputs(split.take(np.arange(len(split)))).logits
    return float(COST[split.y, logits.argmax(axis=1)].mean())


@pytest.mark.parametrize("names", [None, ("no", "yes")])
def test_the_bayes_rule_of_a_cost_matrix(case_of: Callable[..., Any], names: tuple[str, ...] | None) -> None:
    """It decides for class 1 from x = −log(20) / 2 on; its cost by the normal integrals. Of 100,000 rows s.e. .009."""
    subject, new = subject_of(names=names), normal(100_000, 2)
    treated = apply.apply(case_of(subject, n_classes=2))
    cut = -np.log(20) / 2
    bayes = 0.5 * norm.sf(cut + 1) + 0.5 * 20 * norm.cdf(cut - 1)
    plain = 0.5 * norm.cdf(-1) * 21
    reached = cost_of(treated.subject, new)
    assert bayes - 0.03 < reached < bayes + 0.05 * (plain - bayes)
    assert treated.compute == 0
    assert "4000 rows" in treated.changes


def test_errors_of_a_model_set_off_are_mended(case_of: Callable[..., Any]) -> None:
    """Three classes, one logit 2 too low: on new rows the errors fall to those of the logits without the fault."""
    from uncork.models.predictions import Predictions

    def split(n: int, seed: int, low: float) -> Split:
        rng = np.random.default_rng(seed)
        z = rng.normal(scale=2, size=(n, 3))
        y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
        p = np.exp(z - [0, 0, low])
        return Split(p / p.sum(axis=1, keepdims=True), y)

    def error(subject: Subject, new: Split) -> float:
        logits = subject.model.outputs(new.take(np.arange(len(new)))).logits
        return float((logits.argmax(axis=1) != new.y).mean())

    subject, new, right = (
        Subject(Predictions(), test=None, validation=split(3000, 0, 2)),
        *(split(20_000, 1, low) for low in (2, 0)),
    )
    treated = apply.apply(case_of(subject, n_classes=3)).subject
    possible = (right.take(np.arange(20_000)).argmax(axis=1) != right.y).mean()
    before = (new.take(np.arange(20_000)).argmax(axis=1) != new.y).mean()
    assert before - possible > 0.05
    assert error(treated, new) < possible + 0.15 * (before - possible)


def test_only_the_given_rows_are_read(case_of: Callable[..., Any]) -> None:
    subject = subject_of()
    given = subject.replace(validation=subject.validation.subset(np.arange(1000)))
    other = given.replace(train=normal(50, 5))
    first, second = (apply.apply(case_of(s, n_classes=2)).subject.model.offset for s in (given, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ["estimator", "net"])
def test_keeps_the_contract(case_of: Callable[..., Any], ground: Callable[..., Subject], kind: str) -> None:
    if kind == "estimator":
        subject, k = subject_of(), 2
    else:
        subject, k = ground().replace(metric=Metric(np.random.default_rng(0).uniform(0, 9, (10, 10)))), 10
    check_remedy(apply, lambda: case_of(subject, n_classes=k))


def test_it_says_why_it_can_do_nothing(case_of: Callable[..., Any]) -> None:
    subject = subject_of("error")
    x = subject.validation.take(np.arange(4000))
    known = subject.replace(validation=Split(x, subject.model.predict(x)))
    with pytest.raises(Unavailable, match="no threshold gains on 4000 rows"):
        apply.apply(case_of(known, n_classes=2))
    with pytest.raises(Unavailable, match="belong to classification"):
        apply.apply(case_of(subject, task="regression"))
    for metric in ("auc", "log-loss", Metric(lambda p, y: 0.0, higher_is_better=True, name="mine")):
        with pytest.raises(Unavailable, match=r"judges no decisions.*cost matrix"):
            apply.apply(case_of(subject.replace(metric=metric), n_classes=2))


def test_the_control_is_the_model_before(case_of: Callable[..., Any]) -> None:
    case = case_of(subject_of(), n_classes=2)
    assert apply.control(case, apply.apply(case)).subject is case.subject
