"""acquire: the ids are those of the strategy, which is named only where it surely beat random rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import BadInput, Metric, Split, Subject, acquire
from uncork.cli.app import main
from uncork.models.base import from_probabilities
from uncork.remedies._contract import one_by_one
from uncork.run.acquire import simulated, surely_best
from uncork.run.admit import admit
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.train.acquire import STRATEGIES, bought, margin

X = np.random.default_rng(0).normal(size=(2000, 20))


def line(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression(C=1e3).fit(train.take(np.arange(len(train))), train.y)


def subject_of(y: np.ndarray, **changes: Any) -> Subject:
    """600 rows of train, 700 each of validation and test; 100 further rows to choose from, ids from 500."""
    cuts = {"train": slice(600), "validation": slice(600, 1300), "test": slice(1300, 2000)}
    splits = {name: Split(X[cut], y[cut]) for name, cut in cuts.items()}
    more = Split(np.random.default_rng(1).normal(size=(100, 20)), ids=np.arange(500, 600))
    known = {"recipe": line, "unlabelled": more, "classes": ("no", "yes")}
    return Subject(line(splits["train"], 0), **splits, **{**known, **changes})


EASY = (X @ np.linspace(-1, 1, 20) > 0).astype(int)


def test_a_named_strategy_ranks_by_it() -> None:
    subject = subject_of(EASY, recipe=None)
    found = acquire(subject, 10, "margin")
    x = subject.unlabelled.take(np.arange(100))
    rows = margin(from_probabilities(subject.model.predict_proba(x)), x, 10, np.random.default_rng(0))
    assert found.ids == (rows + 500).tolist()
    assert (found.strategy, found.gains) == ("margin", {})
    assert len(acquire(subject, 1000, "random").ids) == 100


def test_margin_wins_where_only_the_border_matters() -> None:
    """Labels without noise: rows next to the border fix it, and random ones seldom lie there; it gains 28."""
    context = admit(subject_of(EASY), describe_only=False, seed=0, fan=one_by_one).context
    gains = simulated(context)
    for name in ("margin", "badge"):
        assert gains[name].low is not None
        assert gains[name].low > 5
    assert surely_best(gains) in ("margin", "badge")


def test_where_labels_are_chance_no_strategy_is_named() -> None:
    """Coin flips: nothing can gain. Of 6 seeds one or more names a strategy at 5 % each with odds of .26; fixed."""
    for seed in range(6):
        y = np.random.default_rng(seed).integers(0, 2, len(X))
        context = admit(subject_of(y), describe_only=False, seed=seed, fan=one_by_one).context
        assert surely_best(simulated(context)) == "random"


def test_every_strategy_starts_alike_and_buys_as_much() -> None:
    sizes: list[int] = []

    def counting(train: Split, seed: int) -> LogisticRegression:
        sizes.append(len(train))
        return line(train, seed)

    context = admit(subject_of(EASY, recipe=counting), describe_only=False, seed=0, fan=one_by_one).context
    found = bought(context.subject, context.facts.classes, np.arange(90), 60, 0)
    assert sizes == [90, 150, 150, 150, 150]
    assert set(found) == {"start", *STRATEGIES}
    assert {logits.shape for logits in found.values()} == {(700, 2)}


def test_bonferroni_stands_between_a_gain_and_its_name() -> None:
    def gain(value: float, se: float) -> Estimate:
        return Estimate(value, value - 2 * se, value + 2 * se, "errors per 1,000", 100, "t", se=se, df=1000.0)

    assert surely_best({"a": gain(2, 1), "b": gain(2.3, 1), "c": gain(1, 1)}) == "b"
    assert surely_best({"a": gain(2, 1), "b": gain(0, 1), "c": gain(1, 1)}) == "random"  # under 2.13 standard errors
    assert surely_best({"a": Estimate(None, None, None, "", 1, "")}) == "random"


def test_what_is_missing_is_told() -> None:
    with pytest.raises(BadInput, match="use auto or one of random, margin"):
        acquire(subject_of(EASY), 5, "best")
    with pytest.raises(BadInput, match="n is 0"):
        acquire(subject_of(EASY), 0)
    with pytest.raises(BadInput, match="unlabelled=Split"):
        acquire(subject_of(EASY, unlabelled=None), 5)
    with pytest.raises(Unavailable, match="needs train and a recipe"):
        acquire(subject_of(EASY, recipe=None), 5)
    with pytest.raises(Unavailable, match="a function, which five repeats can't judge: name a strategy"):
        acquire(subject_of(EASY, metric=Metric(lambda p, y: float(p.mean()), higher_is_better=True, delta=0.1)), 5)


def test_the_command_writes_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "acquire",
                "test_run_acquire:EASY_SUBJECT",
                "--n",
                "5",
                "--out",
                f"{tmp_path}/rows.csv",
                "--strategy",
                "badge",
            ]
        )
    assert stop.value.code in (0, None)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == "rank,id"
    assert len(lines) == 6
    assert 500 <= int(lines[1].split(",")[1]) < 600
    assert "5 rows, ranked by badge" in capsys.readouterr().out


def test_trying_is_told_and_said_with_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    margin_gain = Estimate(-2.0, -4.0, 0.5, "errors per 1,000", 700, "t", 1.0)
    gains = {"margin": margin_gain, "badge": Estimate(None, None, None, "", 1, "")}
    monkeypatch.setattr("uncork.run.acquire.simulated", lambda context: gains)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(SystemExit):
        main(["acquire", "test_run_acquire:EASY_SUBJECT", "--n", "5", "--out", f"{tmp_path}/rows.csv"])
    said = capsys.readouterr()
    assert "trying strategies, 25 trainings" in said.err
    assert said.out.splitlines()[:2] == [
        "margin, gain over random rows as tried on train: −2.0 (−4.0 to 0.5) errors per 1,000",
        "badge, gain over random rows as tried on train: undetermined",
    ]
    assert "5 rows, ranked by random" in said.out


EASY_SUBJECT = subject_of(EASY)
