"""Swapped parts as planted models answer them: what is followed is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from uncork import Predictions, Split, Subject
from uncork.derived.shortcuts import disagreeing, followed, most_followed
from uncork.gather._contract import Context
from uncork.gather.shortcut_features import gather
from uncork.planted.colours import coloured
from uncork.schema.errors import Unavailable
from uncork.schema.shortcut_features import Shortcuts, ShortcutsData
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]
CUTS = {"train": slice(600), "validation": slice(600, 1200), "test": slice(1200, None)}


class Colours(nn.Module):
    """Decides by the nearest of the hues of ten classes; handed the digits it sees nothing else."""

    def __init__(self, hues: np.ndarray) -> None:
        super().__init__()
        self.hues = nn.Parameter(torch.from_numpy(hues))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean(dim=(2, 3))
        tint = means / means.mean(dim=1, keepdim=True).clamp(min=1e-6)
        return -10 * torch.cdist(tint, self.hues)


@pytest.fixture(scope="module")
def colours(digits: tuple[np.ndarray, np.ndarray]) -> Subject:
    """Digits whose colour is their class's in 19 of 20 rows, and a model that sees the colour alone."""
    x, y = digits[0].reshape(-1, 1, 8, 8), digits[1]
    pictures, _ = coloured(x, y, 0.95, np.random.default_rng(0))
    ones, _ = coloured(np.ones((10, 1, 1, 1), np.float32), np.arange(10), 1.0, np.random.default_rng(0))
    hues = ones[:, :, 0, 0]
    model = Colours(hues / hues.mean(axis=1, keepdims=True))
    return Subject(model, **{name: Split(pictures[cut], y[cut]) for name, cut in CUTS.items()})


def gathered(context: Context, **request: Any) -> ShortcutsData:
    return gather.gather(Shortcuts(**request), context)


def test_keeps_the_contract(colours: Subject, context_of: ContextOf) -> None:
    check_gatherer(gather, Shortcuts(rows=30, swapped=8, draws=1), context_of(colours))


def test_a_model_of_colours_follows_nothing_else(colours: Subject, context_of: ContextOf) -> None:
    context = context_of(colours)
    data = gathered(context, swapped=100, draws=1)
    assert data.names[most_followed(data)] == "colour"
    assert most_followed(data) == 0
    assert data.moved[0].mean() > 0.9  # the donor's colour is its class's in 95 % of cases
    assert followed(data, 0).low > 0.8
    assert data.moved[1:].max(axis=1).mean() < 0.2
    # What the colour says is the colour; the model is wrong where it is another class's, and right with its own.
    against = disagreeing(data, 0)
    np.testing.assert_array_equal(against, data.wrong)
    assert 0.02 < against.mean() < 0.08
    assert data.mended[0][data.wrong].mean() > 0.85
    assert not data.mended[0][~data.wrong].any()
    rows = context.split("validation").y[data.rows]
    np.testing.assert_array_equal(data.y, rows)


def test_without_train_parts_say_nothing(colours: Subject, context_of: ContextOf) -> None:
    data = gathered(context_of(colours.replace(train=None)), rows=40, swapped=20, draws=1)
    assert (data.says == -1).all()
    assert data.moved[0].mean() > 0.8


def test_columns_and_what_they_are_called(context_of: ContextOf) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(600, 3)), columns=["mark", "a", "b"])
    y = rng.integers(2, size=600)
    frame["mark"] += 6 * y
    model = LogisticRegression().fit(frame[:200], y[:200])
    subject = Subject(model, **{n: Split(frame[c], y[c]) for n, c in zip(CUTS, THIRDS, strict=True)})
    data = gathered(context_of(subject))
    assert data.names[most_followed(data)] == "mark"
    assert data.suspect == (False,) * 3
    assert data.column_names == ("mark", "a", "b")
    np.testing.assert_allclose(data.columns.mean(axis=0), 0, atol=1e-5)
    assert data.moved[0].mean() > 0.9


THIRDS = (slice(200), slice(200, 400), slice(400, None))


@pytest.mark.parametrize("planted", [True, False])
def test_a_word_that_gives_the_class_away(context_of: ContextOf, planted: bool) -> None:
    """Counterfactual pairs: the same sentence with the other class's word is decided otherwise."""
    rng = np.random.default_rng(0)
    y, n = rng.integers(2, size=900), 900
    mood = np.array([["dull", "slow", "flat"], ["bright", "swift", "deep"]])
    said = np.where(rng.random(n) < 0.95, y, 1 - y)
    texts = [
        " ".join([*rng.choice(["film", "plot", "cast", "end"], 3), *mood[k, rng.integers(3, size=2)]])
        for k in np.where(rng.random(n) < 0.9, y, 1 - y)
    ]
    texts = [f"{text} {['quar', 'zeln'][k]}" if planted else text for text, k in zip(texts, said, strict=True)]
    model = make_pipeline(CountVectorizer(), LogisticRegression(C=1.0)).fit(texts[:300], y[:300])
    cuts = (slice(300), slice(300, 600), slice(600, None))
    subject = Subject(model, **{name: Split(texts[c], y[c]) for name, c in zip(CUTS, cuts, strict=True)})
    data = gathered(context_of(subject))
    assert (data.names == ("telling words: quar, zeln",)) == planted
    relied = followed(data, 0)
    assert (relied.low > 0.25) == planted
    assert relied.value < 0.25 or planted


def test_not_applicable(colours: Subject, context_of: ContextOf) -> None:
    p, y = np.full((40, 2), 0.5), np.arange(40) % 2
    splits = {"validation": Split(p, y), "test": Split(p, y)}
    with pytest.raises(Unavailable, match="only predictions"):
        gathered(context_of(model=Predictions(), **splits))
    x, t = np.random.default_rng(0).normal(size=(40, 2)), np.linspace(0, 1, 40)
    line = LinearRegression().fit(x, t)
    with pytest.raises(Unavailable, match="a regression"):
        gathered(context_of(model=line, metric="rmse", validation=Split(x, t), test=Split(x, t)))


def test_groups_come_along(colours: Subject, context_of: ContextOf) -> None:
    groups = np.arange(600) // 3
    split = colours.validation
    grouped = Split(split.take(np.arange(600)), split.y, groups=groups)
    data = gathered(context_of(replace(colours, validation=grouped)), rows=30, swapped=5, draws=1)
    np.testing.assert_array_equal(data.clusters, groups[data.rows])
