"""What changes a subject's identity, and what the ledger takes for the same test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from uncork import Behaviour, Predictions, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.fingerprints import gather
from uncork.run import identity
from uncork.run.admit import admit
from uncork.schema.artifacts import Fingerprints
from uncork.schema.metric import Metric

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = np.arange(120) % 2
P = RNG.dirichlet([1, 1], 120)


def context(model: Any = None, **given: Any) -> Context:
    model = model or LogisticRegression().fit(X, Y)
    subject = Subject(model, validation=Split(given.pop("v", X), Y * 1), **given)
    return admit(subject, describe_only=False, seed=0, fan=lambda f, jobs: [f(*job) for job in jobs]).context


def fingerprints(**given: Any) -> dict[str, str]:
    made = context(**given)
    about = identity.identity(made, gather.gather(Fingerprints(), made), {}, describe_only=False)
    content: dict[str, str] = about["fingerprints"]
    return content


def rows(x: Any, y: Any = Y, *, v: Any = None, model: Any = None, order: Any = None, **columns: Any) -> str:
    split = Split(x, y, **columns)
    made = context(model or LogisticRegression().fit(X, Y), v=X if v is None else v, test=split)
    if order is not None:
        made = made.of(made.subject.replace(test=made.subject.test.subset(order)), made.model)
    return identity.test_rows(made)


def test_groups_are_part_of_it_and_their_names_are_not() -> None:
    plain = fingerprints(test=Split(X, Y))
    pairs = fingerprints(test=Split(X, Y, groups=np.arange(120) // 2))
    named = fingerprints(test=Split(X, Y, groups=[f"g{i // 2:03}" for i in range(120)]))
    threes = fingerprints(test=Split(X, Y, groups=np.arange(120) // 3))
    assert "test groups" not in plain
    assert pairs == named
    assert pairs["test groups"] != threes["test groups"]
    assert {k: v for k, v in pairs.items() if k != "test groups"} == plain


def test_metrics_are_told_apart_by_direction_and_code() -> None:
    metrics = [
        Metric("error"),
        Metric("error", delta=7),
        Metric(lambda p, y: float((p.argmax(1) == y).mean()), higher_is_better=True, name="mine"),
        Metric(lambda p, y: float((p.argmax(1) == y).mean()), higher_is_better=False, name="mine"),
        Metric(lambda p, y: float((p.argmax(1) != y).mean()), higher_is_better=False, name="mine"),
    ]
    assert len({identity.metric_key(metric) for metric in metrics}) == len(metrics)
    assert fingerprints(test=Split(X, Y), metric=metrics[3])["metric"] == identity.metric_key(metrics[3])


@pytest.mark.parametrize("made", [np.asarray, lambda x: pd.DataFrame(x, columns=list("abc"))])
def test_the_same_rows_in_fewer_bits_or_another_order_are_the_same_test(made: Any) -> None:
    x, order = X.astype(np.float32), RNG.permutation(120)
    model = LogisticRegression().fit(made(X), Y)
    first = rows(made(x), v=made(x), model=model)
    assert rows(made(x.astype(np.float64)), v=made(x), model=model) == first
    assert rows(made(X), v=made(x), model=model) == first
    assert rows(made(x[order]), Y[order], v=made(x), model=model) == first
    assert rows(made(x + np.float32(0.1)), v=made(x), model=model) != first
    assert rows(made(x), 1 - Y, v=made(x), model=model) != first


def test_integers_of_any_width_are_the_same_test() -> None:
    x = RNG.integers(0, 9, (120, 3))
    assert rows(x.astype(np.uint8)) == rows(x.astype(np.int64)) != rows(x + 1)


def test_targets_of_a_regression_in_fewer_bits_are_the_same_test() -> None:
    def of(y: np.ndarray) -> str:
        split = Split(X, Y + 0.5)
        model = LinearRegression().fit(X, X[:, 0])
        subject = Subject(model, test=Split(X, y), validation=split, metric="rmse")
        return identity.test_rows(admit(subject, describe_only=False, seed=0, fan=lambda f, j: []).context)

    y = X[:, 0]
    assert of(y) == of(y.astype(np.float32)) != of(-y)


def test_predictions_go_by_ids_and_labels_whatever_the_model_said() -> None:
    other, ids, order = P[::-1], [f"row {i}" for i in range(120)], RNG.permutation(120)

    def of(p: np.ndarray, y: np.ndarray = Y, **columns: Any) -> str:
        return rows(p, y, v=P, model=Predictions(), **columns)

    assert of(P) == of(other) != of(P, np.r_[1, 0, Y[2:]])  # without ids the labels' order is all there is
    named = of(P, ids=ids)
    assert named == of(other, ids=ids) == of(P, Y[order], ids=np.array(ids)[order])
    assert len({named, of(P), of(P, ids=[f"other {i}" for i in range(120)]), of(P, 1 - Y, ids=ids)}) == 4


def test_what_is_gathered_for_a_threat_or_a_behaviour_belongs_to_it() -> None:
    """Another distance, or a change that does something else, is another run; a requirement alone is not."""
    test = Split(X[::-1], Y[::-1])
    plain = fingerprints(test=test)
    assert fingerprints(test=test, require={"ece": 0.1}) == plain
    threats = [fingerprints(test=test, require=r) for r in ({"linf": 0.1}, {"linf": 0.2}, {"l2": 0.1})]
    moved = [Behaviour("moved", change=c) for c in (lambda x, u: x + 1, lambda x, u: x + 2)]
    stated = [fingerprints(test=test, behaviours=(b,)) for b in moved]
    told = [str(found) for found in (plain, *threats, *stated)]
    assert len(set(told)) == len(told)
    assert fingerprints(test=test, behaviours=(moved[0],)) == stated[0]


def test_names_of_classes_are_part_of_it() -> None:
    """Behaviours are stated of classes by name: "negative" as the first class is another run than as the second."""
    test = Split(X[::-1], Y[::-1])
    named = [fingerprints(test=test, classes=names) for names in (("negative", "positive"), ("positive", "negative"))]
    assert [{k for k in named[0] if named[0][k] != other[k]} for other in named] == [set(), {"classes"}]


def test_how_shifted_rows_are_cut_and_paired_belongs_to_it() -> None:
    """Their labels, groups, times and ids: rows kept to prove must not have been read under another cut."""
    test, n = Split(X[::-1], Y[::-1]), len(X)
    ways = ({}, {"y": Y}, {"groups": np.arange(n) // 2}, {"groups": np.arange(n) // 3}, {"times": np.arange(n)})
    found = [fingerprints(test=test, shifted=Split(X, **way)) for way in ways]
    found += [fingerprints(test=test, shifted=Split(X, ids=np.arange(n) + first)) for first in (0, 1)]
    told = [str(each) for each in (fingerprints(test=test), *found)]
    assert len(set(told)) == len(told)
    assert fingerprints(test=test, shifted=Split(X, groups=np.arange(n) // 2)) == found[2]
