"""relabel.csv: the flagged rows of train, the most suspicious first, and those that the finding counts."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import small, split

from uncork import Pool, Predictions, Split, Subject, audit
from uncork.gather._contract import Context, Training
from uncork.probes._contract import registered
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.measure import run_probe
from uncork.run.plan import make_plan
from uncork.run.suspects import write_suspects
from uncork.schema.artifacts import Relabelled, Request
from uncork.schema.pool import PoolData
from uncork.stats.confident import flag
from uncork.testing.artifacts import relabelled
from uncork.testing.pools import a_pool

ROWS, WRONG = 300, 30
NAMES = ("ant", "bee", "cat")


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "relabel.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def told(truth: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities that give the true class .85 to .98, above what a class's rows get on average: all are flagged."""
    sure = np.random.default_rng(seed).uniform(0.85, 0.98, len(truth))
    p = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    p[np.arange(len(truth)), truth] = sure
    return p


def predictions(wrong: int) -> tuple[Subject, Any, np.ndarray, np.ndarray]:
    """(no model, three tables of predictions; out-of-fold predictions, probabilities of train; its true labels)."""
    truth = np.arange(ROWS) % 3
    y = truth.copy()
    y[:wrong] = (y[:wrong] + 1) % 3
    p = told(truth, 1)
    splits = {name: Split(told(truth, seed), truth) for name, seed in (("validation", 2), ("test", 3))}
    train = Split(told(truth, 4), y, ids=[f"row-{i}" for i in range(ROWS)])
    subject = Subject(Predictions(), train=train, classes=NAMES, name="p", **splits)
    return subject, Pool.from_predictions(p, np.arange(ROWS) % 5), p, truth


def test_from_predictions_alone(tmp_path: Path) -> None:
    subject, pool, p, truth = predictions(WRONG)
    report = audit(subject, pool=pool, probes=["wrong-labels"], out=tmp_path / "run")
    found = lines(tmp_path / "run")
    rows = np.array([int(line["id"].removeprefix("row-")) for line in found])
    # Every wrong label is on the list, and no other: the predictions know better.
    assert sorted(rows.tolist()) == list(range(WRONG))
    assert len(rows) == round(ROWS * report.finding("wrong-labels").estimates["flagged"].value)
    # The label suggested is the true one; the one given stands beside it, each with its probability.
    y = subject.train.y
    assert [line["label"] for line in found] == [NAMES[c] for c in truth[rows]]
    assert [line["given"] for line in found] == [NAMES[c] for c in y[rows]]
    for column, classes in (("label", truth), ("given", y)):
        told_of = [float(line[f"probability of {column}"]) for line in found]
        np.testing.assert_allclose(told_of, p[rows, classes[rows]], atol=2e-3)  # stored as 16-bit logits
    # The most suspicious first: by how much likelier another class is.
    margin = np.log(p[rows, truth[rows]] / p[rows, y[rows]])
    assert np.all(np.diff(margin) < 0.01)
    assert margin[0] - margin[-1] > 1


def test_nothing_is_written_where_none_is_flagged(tmp_path: Path) -> None:
    subject, pool, _, _ = predictions(0)
    report = audit(subject, pool=pool, probes=["wrong-labels"], out=tmp_path / "run")
    assert report.finding("wrong-labels").estimates["flagged"].value == 0
    assert not (tmp_path / "run" / "relabel.csv").exists()


@pytest.fixture
def context() -> Context:
    """300 rows of train; one training takes a second, it is said."""
    found = admit(small(train=split(300, 1)), describe_only=False, seed=0, fan=Executor()).context
    return dataclasses.replace(found, training={"": Training(1.0)})


@pytest.mark.parametrize("others", [[], ["scarce-data"], ["scarce-data", "membership-leakage"]])
def test_the_lines_are_the_findings(others: list[str], context: Context, tmp_path: Path) -> None:
    """Whatever else the pool was trained for: membership-leakage asks for twice as many halves."""
    wrong_labels = registered()["wrong-labels"]
    plan = make_plan([wrong_labels, *(registered()[id] for id in others)], context, 1e9)
    asked = plan.covering(Pool())
    assert isinstance(asked, Pool)
    sizes = {name: getattr(asked, name) for name in ("halves", "quarters", "eighths", "full")}
    data = a_pool(300, 50, classes=2, error=0.2, flipped=0.1, **sizes)
    artifacts: dict[Request, Any] = {asked: data, Relabelled(): relabelled()}
    outcome = run_probe(wrong_labels, context, lambda request: plan.part(request, artifacts[plan.covering(request)]))
    write_suspects(tmp_path, context, plan, artifacts)
    ids = {int(line["id"]) for line in lines(tmp_path)}
    assert len(lines(tmp_path)) == len(ids) == round(300 * outcome.estimates["flagged"].value)
    assert ids == set(np.flatnonzero(of_halves(data, 8)).tolist())
    if asked.halves > 8:
        assert ids != set(np.flatnonzero(of_halves(data, asked.halves)).tolist())


def of_halves(pool: PoolData, count: int) -> np.ndarray:
    """(n,) rows that the first halves flag, worked out anew."""
    total = np.zeros((300, 2))
    for member in pool.members(2)[:count]:
        logits = pool.on_train[member].astype(np.float64)
        total += np.where(pool.trained_on[member][:, None], 0, logits - np.logaddexp(*logits.T)[:, None])
    mean = total / (count / 2)
    return flag(np.exp(mean - np.logaddexp(*mean.T)[:, None]), pool.y)
