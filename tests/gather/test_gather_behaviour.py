"""Behaviours of models whose faults were put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from uncork import BadInput, Predictions, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.behaviour import gather
from uncork.probes.behaviour_violations import measure
from uncork.run.rank import judge
from uncork.schema.behaviour import Behaviour, Behaviours, BehavioursData
from uncork.schema.errors import Unavailable, UncorkError
from uncork.schema.seeds import generator
from uncork.stress.checklist import BAD, GOOD, THING
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]
NEGATORS = ("not", "n't", "no", "never", "hardly", "nobody", "nothing", "can't", "don't")


class Rules:
    """A classifier of sentiment by a word list; one that `negates` turns the class where a negator comes before."""

    classes_ = np.array(["negative", "positive"])

    def __init__(self, negates: bool) -> None:
        self.negates = negates

    def fit(self, x: Any, y: Any) -> Rules:
        return self

    def predict(self, x: list[str]) -> np.ndarray:
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def predict_proba(self, x: list[str]) -> np.ndarray:
        positive = np.array([self._praises(text.lower().replace("n't", " not")) for text in x], float)
        return np.stack([0.9 - 0.8 * positive, 0.1 + 0.8 * positive], axis=1)

    def _praises(self, text: str) -> bool:
        words = [word.strip(".,!:;?") for word in text.split()]
        praise = any(word in GOOD for word in words) and not any(word in BAD for word in words)
        return praise != (self.negates and praise and any(word in NEGATORS for word in words))


def plain(seed: int) -> Split:
    """Sentences that never negate."""
    rng = np.random.default_rng(seed)
    words = rng.choice([*GOOD, *BAD], size=300)
    texts = [f"The {rng.choice(THING)} was {word}, said number {i}" for i, word in enumerate(words)]
    return Split(texts, np.where(np.isin(words, GOOD), "positive", "negative"))


def bag_of_words() -> Any:
    train = plain(0)
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(train.take(np.arange(300)), train.y)


def gathered(context: Context) -> tuple[BehavioursData, Any]:
    data = gather.gather(Behaviours(), context)
    outcome = measure(behaviours=data, facts=context.facts, rng=generator(0))
    return data, judge(measure, outcome, delta=5, family=4, seconds=0.0)


def of_texts(model: Any, **changes: Any) -> Subject:
    return Subject(model, validation=plain(1), test=plain(2), **changes)


def test_keeps_the_contract(context_of: ContextOf) -> None:
    check_gatherer(gather, Behaviours(rows=20, cases=1), context_of(of_texts(bag_of_words())))


def test_blindness_to_negation_is_found(context_of: ContextOf) -> None:
    """A bag of words that never saw "not" reads all praise that is negated as praise."""
    _, finding = gathered(context_of(of_texts(bag_of_words())))
    negated = finding.estimates["praise negated"]
    assert negated.value > 900
    assert negated.low > 50
    assert finding.verdict == "bottleneck"
    assert finding.estimates["plain praise"].value == 0
    assert "praise negated" in finding.summary


def test_rules_that_know_negation_pass(context_of: ContextOf) -> None:
    for negates, broken in ((False, 1000), (True, 0)):
        _, finding = gathered(context_of(of_texts(Rules(negates))))
        negated = finding.estimates["praise negated"]
        assert negated.value == broken
        assert negated.n == 10  # templates, not fillings
        assert negated.high > 0  # of ten templates without a fault little is known


def test_names_that_matter_are_found(context_of: ContextOf) -> None:
    class Biased(Rules):
        def _praises(self, text: str) -> bool:
            return super()._praises(text) and "fatima" not in text

    data, finding = gathered(context_of(of_texts(Biased(negates=True))))
    assert finding.estimates["another person's name"].value == pytest.approx(500, abs=120)  # praise alone is turned
    assert finding.estimates["another place"].value == 0
    assert any("Fatima" in text for text, _, _ in data.examples["another person's name"])


def test_the_users_own_in_ten_lines(context_of: ContextOf) -> None:
    own = Behaviour(
        "double negation",
        templates=["I would not say that the {thing} isn't {good}."],
        slots={"thing": ["film", "script"], "good": ["good", "great"]},
        expected="positive",
    )
    data, finding = gathered(context_of(of_texts(Rules(negates=True), behaviours=[own])))
    assert (data.relation == data.names.index("double negation")).sum() == 4
    assert finding.estimates["double negation"].value == 1000


def test_a_change_that_fails_is_named(context_of: ContextOf) -> None:
    """It takes rows and numbers: one that takes rows alone is the user's to mend."""
    own = Behaviour("shorter", change=lambda x: x)  # type: ignore[arg-type,misc]
    with pytest.raises(UncorkError, match=r"behaviour 'shorter': its change, called with \(rows, one number"):
        gathered(context_of(of_texts(Rules(negates=True), behaviours=[own])))


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (Behaviour("mine", templates=["a"], expected="neutral"), "names 'neutral'"),
        (Behaviour("sarcasm", templates=["a"], expected="positive"), "two behaviours"),
        (Behaviour("halved", change=lambda x, u: x[::2]), "makes 125 rows of 250"),
    ],
)
def test_what_does_not_fit_is_refused(context_of: ContextOf, own: Behaviour, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        gather.gather(Behaviours(), context_of(of_texts(Rules(negates=True), behaviours=[own])))


class Pixel(nn.Module):
    """Class 1 where one pixel is bright, or, `pooled`, where any is."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.bias = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.amax(dim=(1, 2, 3)) if self.pooled else x[:, 0, 12, 12]
        z = 20 * (bright - self.bias)
        return torch.stack([torch.zeros_like(z), z], dim=1)


@pytest.mark.parametrize(("pooled", "verdict"), [(False, "bottleneck"), (True, "clear")])
def test_a_net_that_minds_a_pixels_move_is_found(context_of: ContextOf, pooled: bool, verdict: str) -> None:
    """Half of the pictures have their one bright pixel at the place looked at, and lose it when moved; of 126 without
    a violation at most 1 − (.05 / 8)^(1/126) break it (four relations together)."""
    y = np.arange(600) % 2
    x = np.zeros((600, 1, 24, 24), np.float32)
    x[y == 1, 0, 12, 12] = 1.0
    splits = {"validation": Split(x[:300], y[:300]), "test": Split(x[300:], y[300:])}
    data, finding = gathered(context_of(model=Pixel(pooled), **splits))
    assert finding.verdict == verdict
    moved = finding.estimates["moved by a pixel"]
    if pooled:
        assert (moved.value, moved.low) == (0, 0)
        assert moved.high == pytest.approx(1000 * (1 - (0.05 / 8) ** (1 / moved.n)))
    # A blank picture stays as it is when moved, and is no case.
    assert (data.relation == data.names.index("moved by a pixel")).sum() == data_of(context_of, splits)


def data_of(context_of: ContextOf, splits: dict[str, Split]) -> int:
    rows = np.sort(generator(0, "behaviour", "rows").permutation(300)[:250])
    return int(splits["validation"].y[rows].sum())


def test_a_direction_that_a_regression_should_keep(context_of: ContextOf) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = 2 * x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=400)
    own = [
        Behaviour("more of the first", change=lambda x, u: x + np.eye(3)[0], toward="up"),
        Behaviour("more of the second", change=lambda x, u: x + np.eye(3)[1], toward="up"),
    ]
    splits = {"validation": Split(x[:200], y[:200]), "test": Split(x[200:], y[200:])}
    model = LinearRegression().fit(x, y)
    _, finding = gathered(context_of(model=model, metric="rmse", behaviours=own, **splits))
    assert [finding.estimates[b.name].value for b in own] == [0, 1000]
    assert finding.estimates["noise within the rounding"].value == 0


def test_where_nothing_can_be_said(context_of: ContextOf) -> None:
    p, y = np.full((40, 2), 0.5), np.arange(40) % 2
    with pytest.raises(Unavailable, match="only predictions"):
        gathered(context_of(model=Predictions(), validation=Split(p, y), test=Split(p.copy(), y)))
    codes = np.random.default_rng(0).integers(0, 9, (80, 3))
    tree = LogisticRegression().fit(codes, np.arange(80) % 2)
    splits = {"validation": Split(codes[:40], y), "test": Split(codes[40:], y)}
    with pytest.raises(Unavailable, match="no behaviour is stated"):
        gathered(context_of(model=tree, **splits))
    numbered = plain(1)
    context = context_of(model=bag_of_words(), validation=numbered, test=plain(2), classes=("negative", "positive"))
    assert not gather.gather(Behaviours(), context).left_out
