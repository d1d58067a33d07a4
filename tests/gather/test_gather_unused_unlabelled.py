"""Unlabelled rows: heaps that they show are learnt, noise teaches nothing, and rows that judge are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.data.joined import joined
from uncork.gather import unused_unlabelled as module
from uncork.gather._contract import Context
from uncork.gather.unused_unlabelled import gather, trained
from uncork.probes.unused_unlabelled import measure
from uncork.remedies._contract import Case, Treated
from uncork.remedies._retrain import ByRecipe
from uncork.schema.errors import Unavailable
from uncork.schema.unused_unlabelled import Unlabelled
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]
REQUEST = Unlabelled(methods=("pseudo-label",))
RNG = np.random.default_rng(0)
Y = np.arange(3000) % 2
# Two heaps apart along 200 columns, where few labels leave a line far from the best.
X = (RNG.normal(size=(3000, 200)) + 0.12 * (2 * Y - 1)[:, None]).astype(np.float32)


def line(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)


def subject_of(**changes: Any) -> Subject:
    cuts = {"train": slice(160), "validation": slice(200, 1000), "test": slice(1000, 1500)}
    splits = {name: Split(X[rows], Y[rows]) for name, rows in cuts.items()}
    known = {"recipe": line, "unlabelled": Split(X[1500:])}
    return Subject(line(splits["train"], 0), **splits, **{**known, **changes})


def found(context: Context, request: Unlabelled = REQUEST) -> Any:
    data = gather.gather(request, context)
    return measure(unlabelled=data, facts=context.facts, rng=np.random.default_rng(0))


@dataclass(frozen=True)
class Told:
    """A method that is told the labels of `share` as many unlabelled rows as there are labelled ones."""

    share: float

    def apply(self, case: Case) -> Treated:
        subject, known = case.subject, {row.tobytes(): label for row, label in zip(X, Y, strict=True)}
        more = subject.unlabelled.subset(case.rng.permutation(1500)[: round(self.share * len(subject.train))])
        y = np.array([known[row.tobytes()] for row in more.take(np.arange(len(more)))])
        return Treated(subject.replace(train=joined(subject.train, more, y)), "told", ByRecipe(), compute=1.0)

    def price(self, subject: Subject, seeds: int) -> float:
        return 2.0 * seeds


def test_labels_that_are_told_are_worth_what_they_are(context_of: ContextOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as many labels again: 1.5 times as many, by construction; at .95 over 4 draws, the seed is fixed."""
    monkeypatch.setitem(module.REMEDIES, "pseudo-label", Told(0.5))
    outcome = found(context_of(subject_of()))
    times = outcome.estimates["multiplier"]
    assert times.low is not None
    assert 1 < times.low < 1.5 < (times.high or np.inf)
    assert outcome.estimates["gain"].value > 0
    assert outcome.details[0].data["rows"][0][0] == "pseudo-label"


@pytest.mark.slow
def test_rows_of_noise_are_worth_1(context_of: ContextOf) -> None:
    """Rows that say nothing of where the heaps lie, labelled by the model itself. At .95; the seed is fixed."""
    noise = np.random.default_rng(5).normal(size=(1500, 200)).astype(np.float32)
    times = found(context_of(subject_of(unlabelled=Split(noise)))).estimates["multiplier"]
    assert (times.low or 0) < 1 < (times.high or np.inf)
    assert times.value == pytest.approx(1, abs=0.25)


@pytest.mark.slow
def test_keeps_the_contract(context_of: ContextOf) -> None:
    check_gatherer(gather, REQUEST, context_of(subject_of()), rtol=1e-4)
    data = gather.gather(Unlabelled(), context_of(subject_of()))
    assert data.methods == ("pseudo-label",)
    assert "callable" in data.left_out["self-supervise"]


def test_rows_that_judge_are_left_out(context_of: ContextOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of validation throughout, and of the fifth of train while it chooses; and no model is trained on test."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def watched(subject: Subject, how: str, judged: Split, *rest: Any) -> Any:
        assert subject.test is None
        rows = [split.take(np.arange(len(split))) for split in (subject.unlabelled, subject.train, judged)]
        seen.append((np.concatenate(rows[:2]), rows[2]))
        return trained(subject, how, judged, *rest)

    monkeypatch.setattr(module, "trained", watched)
    context = context_of(subject_of(unlabelled=Split(X[:1200])))
    data = gather.gather(REQUEST, context)
    assert data.unlabelled == 400  # all but the 800 of validation
    for learnt, judged in seen:
        known = {row.tobytes() for row in learnt}
        assert not any(row.tobytes() in known for row in judged)


def test_what_is_missing_is_told(context_of: ContextOf) -> None:
    with pytest.raises(Unavailable, match="no unlabelled rows"):
        gather.gather(REQUEST, context_of(subject_of(unlabelled=None)))
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        gather.gather(REQUEST, context_of(subject_of(recipe=None)))
    with pytest.raises(Unavailable, match="every unlabelled row also stands"):
        gather.gather(REQUEST, context_of(subject_of(unlabelled=Split(X[200:900]))))
    with pytest.raises(Unavailable, match="self-supervise: the recipe is a callable"):
        gather.gather(Unlabelled(methods=("self-supervise",)), context_of(subject_of()))
